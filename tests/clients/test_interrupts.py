"""Signals that come while an answer is read. The server never ends its answers by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial

import pytest
from serving import Serve

from palimpsest.client import Client
from palimpsest.interrupts import interruptible
from palimpsest.streams import Stream
from tests.clients.unfinished import PATIENCE_S, Unfinished


@pytest.fixture
def unfinished() -> Unfinished:
    return Unfinished()


@pytest.fixture
def client(serve: Serve, unfinished: Unfinished) -> Iterator[Client]:
    with Client(serve(unfinished)) as client:
        yield client


def test_a_signal_ends_the_stream_and_is_raised_behind_the_block(
    client: Client, unfinished: Unfinished
) -> None:
    reached_the_end = False
    with pytest.raises(KeyboardInterrupt), interruptible(partial(client.stream, "hello")) as stream:
        next(stream)
        signal.raise_signal(signal.SIGINT)
        list(stream)
        reached_the_end = True
    assert reached_the_end
    assert unfinished.ended.acquire(timeout=PATIENCE_S)


def test_a_second_signal_is_raised_where_it_comes(client: Client) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible(partial(client.stream, "hello")) as stream:
        next(stream)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on after the second signal")


def test_a_signal_before_the_stream_is_open_ends_it_too(client: Client) -> None:
    def opening() -> Stream:
        signal.raise_signal(signal.SIGINT)
        return client.stream("hello")

    with pytest.raises(KeyboardInterrupt), interruptible(opening) as stream:
        assert len(list(stream)) <= 3


def test_handlers_are_those_of_before_once_the_stream_is_closed(client: Client) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible(partial(client.stream, "hello")) as stream:
        assert signal.getsignal(signal.SIGINT) != before[0]
        next(stream)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_ignored_signal_stays_ignored(client: Client) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(partial(client.stream, "hello")) as stream:
            signal.raise_signal(signal.SIGHUP)
            next(stream)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_connection_serves_on_after_many_signals(client: Client) -> None:
    for _ in range(20):
        with (
            pytest.raises(KeyboardInterrupt),
            interruptible(partial(client.stream, "hello")) as stream,
        ):
            next(stream)
            signal.raise_signal(signal.SIGINT)
            list(stream)
    with client.stream("hello") as stream:
        next(stream)
