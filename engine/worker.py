"""The engine process: `python -m palimpsest.engine.worker --fd N`, started by the server.

One per device. Reads EngineOptions, then commands, from a socket; writes frames of events. Ends
when the socket closes.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
from collections.abc import Callable
from typing import cast

from palimpsest.engine.channel import Channel, ChannelClosed
from palimpsest.engine.commands import Command, Stop, Submit
from palimpsest.engine.engine import Engine
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.events import LoadFailed, Loading, ModelInfo, Ready
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.threads import Threads, threads_for

_log = logging.getLogger(__name__)
_PROGRESS_STEPS = 100
_WARM_UP_ID = -1


def main() -> None:
    logging.basicConfig(format="%(asctime)s engine %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited socket to the server")
    channel = Channel(socket.socket(fileno=parser.parse_args().fd))
    try:
        serve(channel)
    except ChannelClosed:
        # the server is gone: nobody is left to answer
        _log.info("the server closed the channel")


def serve(channel: Channel) -> None:
    """Loads the model, then steps until told to stop. Raises ChannelClosed without a server."""
    first, *rest = channel.receive(block=True)
    options = cast(EngineOptions, first)
    try:
        model, info = load(options, _progress(channel))
    except CheckpointError as problem:
        channel.send((LoadFailed(message=str(problem)),))
        return
    engine = Engine(model, threads=_threads(options, info))
    _warm_up(engine, info)
    _keep_what_is_loaded()
    channel.send((Ready(model=info),))
    _loop(engine, channel, cast(list[Command], rest))


def _threads(options: EngineOptions, info: ModelInfo) -> Threads:
    if options.threads is not None:
        return Threads(most=options.threads)
    return threads_for(info.parameter_count, cores=len(os.sched_getaffinity(0)))


def _loop(engine: Engine, channel: Channel, commands: list[Command]) -> None:
    while not any(isinstance(command, Stop) for command in commands):
        frame = engine.step(commands)
        channel.send((*frame, engine.report()))
        commands = cast(list[Command], channel.receive(block=not engine.busy))


def _progress(channel: Channel) -> Callable[[int, int], None]:
    """Reports loading at most once per hundredth."""
    shown = 0

    def report(done: int, total: int) -> None:
        nonlocal shown
        if done * _PROGRESS_STEPS // max(total, 1) > shown:
            shown = done * _PROGRESS_STEPS // max(total, 1)
            channel.send((Loading(done_bytes=done, total_bytes=total),))

    return report


def _warm_up(engine: Engine, info: ModelInfo) -> None:
    """One short answer, so that the first request pays for no first use of anything."""
    sampling = Sampling(max_output_tokens=1, seed=0, max_denoising_steps=2)
    request = Submit(request_id=_WARM_UP_ID, prompt_ids=(2,), sampling=sampling, drafts=True)
    engine.step([request])
    while engine.busy:
        engine.step([])


def _keep_what_is_loaded() -> None:
    """A full collection leaves out what lives as long as the process: of the modules alone it takes
    as long as some passes, and so does another one at the exit.
    """
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
