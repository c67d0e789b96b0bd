"""`palimpsest serve` as a process: flags, log, signals, what is printed, and the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence

from opentelemetry.trace import Tracer

from palimpsest.engine.api import CheckpointError, EngineStopped, ModelInfo
from palimpsest.server.app import Addresses, Report, Shutdown, serve
from palimpsest.server.config import USAGE_ERROR, ServerConfig, parse, wants_metrics, wants_traces
from palimpsest.server.logs import configure
from palimpsest.server.progress import Progress

FAILED = 1
"""Exit code when the engine ends by itself."""
FLUSH_S = 3.0
"""How long the last traces may take to be sent, and the last metrics."""
READ_BYTES = 4_096


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; the exit code."""
    config = parse(arguments, os.environ)
    configure(config.log_format, sys.stderr)
    progress = Progress(sys.stderr)
    try:
        _run(config, progress)
    except (CheckpointError, OSError, ValueError) as error:
        return _complain(progress, error, USAGE_ERROR)
    except EngineStopped as error:
        return _complain(progress, error, FAILED)
    return 0


def _run(config: ServerConfig, progress: Progress) -> None:
    with contextlib.ExitStack() as stack:
        tracer = _tracer(config, stack)
        report = _report(stack)
        asyncio.run(_serve(config, progress, tracer=tracer, report=report))


def _tracer(config: ServerConfig, stack: contextlib.ExitStack) -> Tracer | None:
    """Sends its spans until the stack unwinds; None where nothing is to be sent."""
    if not wants_traces(os.environ, config.otlp_traces_endpoint):
        return None
    # Not at the top: the exporter takes a third of a second to load, and most servers send nothing.
    from palimpsest.server.telemetry import Telemetry

    telemetry = Telemetry(os.environ, config.otlp_traces_endpoint)
    stack.callback(telemetry.shutdown, FLUSH_S)
    return telemetry.tracer()


def _report(stack: contextlib.ExitStack) -> Report | None:
    """Sends metrics; None where nobody wants them."""
    if not wants_metrics(os.environ):
        return None
    from palimpsest.server.otlp_metrics import MetricsSender
    from palimpsest.server.telemetry import resource

    sender = MetricsSender(os.environ, resource())
    stack.callback(sender.shutdown, FLUSH_S)
    return sender.run


async def _serve(
    config: ServerConfig, progress: Progress, *, tracer: Tracer | None, report: Report | None
) -> None:
    loop = asyncio.get_running_loop()
    shutdown = Shutdown()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, shutdown.request)
    if config.exit_with_stdin:
        arguments = (loop, shutdown)
        threading.Thread(target=_watch_stdin, args=arguments, daemon=True).start()

    def listening(at: Addresses) -> None:
        both = at.grpc if at.http is None else f"{at.grpc} and {at.http}"
        _say(f"listening on {both}, loading {config.engine.model}")

    def ready(at: Addresses, model: ModelInfo) -> None:
        _say(_room(model))
        _say(f"serving {model.name} on {at.grpc}")
        if at.http is not None:
            _say(f"OpenAI's API is at {at.http}/v1, the page at {at.http}/")
        _say(_callers(config))
        if config.ready_json:
            ready = {"address": at.grpc, "http": at.http, "model": model.name}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()

    await serve(
        config,
        shutdown=shutdown,
        progress=progress,
        tracer=tracer,
        report=report,
        listening=listening,
        ready=ready,
    )


def _room(model: ModelInfo) -> str:
    """How much is served at once."""
    capacity = model.capacity
    return (
        f"room for {capacity.max_num_seqs} canvases at once and {capacity.cache_tokens:,} tokens "
        f"of context ({capacity.cache_bytes / 2**30:.2f} GiB of keys and values)"
    )


def _callers(config: ServerConfig) -> str:
    """Who may call."""
    if config.keys is None:
        return "anyone who reaches these addresses may call"
    return f"calls need an API key ({len(config.keys.digests)} known)"


def _watch_stdin(loop: asyncio.AbstractEventLoop, shutdown: Shutdown) -> None:
    # The bare descriptor: a thread inside sys.stdin's lock would abort the interpreter's exit.
    with contextlib.suppress(OSError):
        while os.read(0, READ_BYTES):
            pass
    with contextlib.suppress(RuntimeError):  # The loop has ended by itself.
        loop.call_soon_threadsafe(shutdown.request_now)


def _complain(progress: Progress, error: Exception, exit_code: int) -> int:
    progress.end()
    # One line, whatever a library below wrote into its message.
    _say(f"error: {' '.join(str(error).split())}")
    return exit_code


def _say(line: str) -> None:
    sys.stderr.write(f"palimpsest serve: {line}\n")
    sys.stderr.flush()
