"""Streams as a browser has them: a connection of HTTP/1.1 each, read as slowly as one likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from palimpsest.v1 import generation_pb2

CONNECT = "/palimpsest.v1.DiffusionService/StreamGenerate"
CHAT = "/v1/chat/completions"
BUFFER_BYTES = 4_096
"""What is read ahead of a reader who does not read, about."""


@contextlib.asynccontextmanager
async def posted(
    port: int, path: str, kind: str, body: bytes
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The pieces of the response, as the server sent them; the status must be 200."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER_BYTES)
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    try:
        status = await reader.readline()
        assert b" 200 " in status, status
        while await reader.readline() != b"\r\n":
            pass
        yield _chunks(reader)
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Of a body in chunked transfer coding."""
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]


@contextlib.asynccontextmanager
async def connect_stream(
    port: int, request: Message
) -> AsyncIterator[AsyncIterator[generation_pb2.StreamGenerateResponse]]:
    """The messages of a StreamGenerate over Connect."""
    data = request.SerializeToString()
    body = b"\0" + len(data).to_bytes(4, "big") + data
    async with posted(port, CONNECT, "application/connect+proto", body) as pieces:
        yield _messages(pieces)


async def _messages(
    pieces: AsyncIterator[bytes],
) -> AsyncIterator[generation_pb2.StreamGenerateResponse]:
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        while len(buffer) >= 5 and len(buffer) >= (end := 5 + int.from_bytes(buffer[1:5], "big")):
            if buffer[0] == 0:
                yield generation_pb2.StreamGenerateResponse.FromString(bytes(buffer[5:end]))
            else:
                assert b"error" not in buffer[5:end], buffer[5:end]
            del buffer[:end]


@contextlib.asynccontextmanager
async def chat_stream(
    port: int, asked: dict[str, Any]
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The chunks of a chat completion."""
    body = json.dumps({**asked, "stream": True}).encode()
    async with posted(port, CHAT, "application/json", body) as pieces:
        yield _events(pieces)


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    buffer = b""
    async for piece in pieces:
        *whole, buffer = (buffer + piece).split(b"\n\n")
        for event in whole:
            data = event.removeprefix(b"data: ")
            if data != b"[DONE]":
                yield json.loads(data)
