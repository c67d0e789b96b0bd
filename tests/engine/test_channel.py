"""The channel between server and engine process, over real socket pairs."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palimpsest.engine.channel import AsyncChannel, Channel, ChannelClosed


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_messages_arrive_whole_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = Channel(pair[0]), Channel(pair[1])
    sender.send("one")
    sender.send({"two": (2,)})
    assert receiver.receive(block=True) == ["one", {"two": (2,)}]


def test_receive_does_not_wait_while_there_is_work(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    assert Channel(pair[1]).receive(block=False) == []


def test_a_message_cut_in_two_waits_for_its_rest(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = Channel(pair[1])
    left, spare = socket.socketpair()
    with left, spare:
        Channel(left).send("whole")
        data = spare.recv(1000)
    pair[0].sendall(data[:7])
    assert receiver.receive(block=False) == []
    pair[0].sendall(data[7:])
    assert receiver.receive(block=True) == ["whole"]


def test_a_blocked_receive_wakes_up_when_a_message_comes(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.extend(Channel(pair[1]).receive(block=True)))
    reader.start()
    Channel(pair[0]).send("wake")
    reader.join(timeout=10)
    assert got == ["wake"]


def test_the_last_messages_are_read_before_the_end_is_reported(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    Channel(pair[0]).send("last words")
    pair[0].close()
    receiver = Channel(pair[1])
    assert receiver.receive(block=True) == ["last words"]
    with pytest.raises(ChannelClosed):
        receiver.receive(block=True)
    with pytest.raises(ChannelClosed):
        receiver.receive(block=False)


def test_sending_to_a_closed_end_is_reported(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    with pytest.raises(ChannelClosed):
        Channel(pair[0]).send("nobody reads this")


@settings(deadline=None)  # A busy machine is no failure.
@given(messages=st.lists(st.binary(max_size=300_000), min_size=1, max_size=5))
async def test_both_ends_understand_each_other(messages: list[bytes]) -> None:
    left, right = socket.socketpair()
    blocking, loop_end = Channel(left), await AsyncChannel.open(right)
    sender = threading.Thread(target=lambda: [blocking.send(message) for message in messages])
    sender.start()
    assert [await loop_end.receive() for _ in messages] == messages
    sender.join(timeout=10)

    echo: list[object] = []
    reader = threading.Thread(target=lambda: _read(blocking, len(messages), echo))
    reader.start()
    for message in messages:
        loop_end.send(message)
    await loop_end.close()
    reader.join(timeout=10)
    assert echo == messages
    blocking.close()


def _read(channel: Channel, count: int, into: list[object]) -> None:
    while len(into) < count:
        into.extend(channel.receive(block=True))


async def test_the_asyncio_end_reports_an_end_in_mid_message(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    channel = await AsyncChannel.open(pair[1])
    pair[0].sendall(struct.pack("!I", 100) + b"only a part")
    pair[0].close()
    with pytest.raises(ChannelClosed):
        await channel.receive()
    channel.send("dropped")
    await channel.close()
