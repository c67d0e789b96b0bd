"""The wire between server and engine process: length-prefixed pickles over a Unix socket pair.

One end blocks (the worker's `Channel`), the other never does (the server's `AsyncChannel`). Both
ends are our own processes, which is why pickle is safe here. Knows nothing of what the messages
mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import struct
from collections.abc import Iterator

_LENGTH = struct.Struct("!I")
_READ_BYTES = 1 << 18


class ChannelClosed(Exception):
    """The process at the other end closed its socket or ended."""


class Channel:
    """The blocking end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._buffer = bytearray()

    def send(self, message: object) -> None:
        """Write one message. Raises ChannelClosed when nobody is left to read it."""
        try:
            self._socket.sendall(_encode(message))
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, *, block: bool) -> list[object]:
        """All messages that have arrived, in order; with `block`, waits until there is one.

        Raises ChannelClosed at the end of the stream, after every whole message was handed out.
        """
        messages: list[object] = []
        while True:
            wait = block and not messages
            try:
                data = self._socket.recv(_READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return messages
            except OSError as error:
                raise ChannelClosed from error
            if not data:
                if messages:
                    return messages
                raise ChannelClosed
            self._buffer += data
            messages += _whole_messages(self._buffer)

    def close(self) -> None:
        self._socket.close()


class AsyncChannel:
    """The asyncio end; made by `AsyncChannel.open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, sock: socket.socket) -> AsyncChannel:
        """Take over `sock` in the running event loop."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_BYTES)
        return cls(reader, writer)

    def send(self, message: object) -> None:
        """Queue one message for writing; never waits. A message to an ended process is dropped."""
        if not self._writer.is_closing():
            self._writer.write(_encode(message))

    async def receive(self) -> object:
        """The next message. Raises ChannelClosed at the end of the stream, in mid-message too."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ChannelClosed from error

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _encode(message: object) -> bytes:
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(payload)) + payload


def _whole_messages(buffer: bytearray) -> Iterator[object]:
    """Take every complete message off the front of `buffer`."""
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        end = _LENGTH.size + length
        if len(buffer) < end:
            return
        message = pickle.loads(bytes(buffer[_LENGTH.size : end]))
        del buffer[:end]
        yield message
