"""What a server consists of, put together; nothing of it listens or runs yet but the loading of the
tokenizer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.trace import Tracer

from palimpsest.engine.api import TextCodec, checkpoint_folder
from palimpsest.server.config import ServerConfig
from palimpsest.server.decide import Decider
from palimpsest.server.engine_metrics import EngineCollector
from palimpsest.server.engine_state import EngineWatch
from palimpsest.server.gate import Gate
from palimpsest.server.generation import Generator
from palimpsest.server.health import Health
from palimpsest.server.media.decoder import Decoder
from palimpsest.server.media.fetching import Fetcher
from palimpsest.server.media.looking import Looker
from palimpsest.server.methods import Methods
from palimpsest.server.metrics import Metrics
from palimpsest.server.pass_spans import PassSpans
from palimpsest.server.progress import Progress
from palimpsest.server.reception import SERVICE, Reception
from palimpsest.server.supervisor import Supervisor
from palimpsest.server.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """The parts that transports and the end of the server ask for."""

    gate: Gate
    codec: asyncio.Future[TextCodec]
    engine: Supervisor
    decoder: Decoder
    generator: Generator
    methods: Methods
    health: Health
    metrics: Metrics
    reception: Reception


def wired(
    config: ServerConfig, *, progress: Progress, tracer: Tracer | None, command: Sequence[str]
) -> Wired:
    """`command` starts the engine. Raises CheckpointError where there is no model."""
    gate, folder = Gate(), checkpoint_folder(config.engine.model)
    codec = asyncio.ensure_future(asyncio.to_thread(TextCodec, folder))
    health = Health((SERVICE,), progress, codec)
    engine = Supervisor(config.engine, max_queue=config.max_queue, watcher=health, command=command)
    decoder = Decoder(folder)
    fetcher = Fetcher(domains=config.allowed_media_domains, max_bytes=config.max_media_bytes)
    defaults = config.default_chat_template_kwargs
    looker = Looker(folder, decoder, fetcher)
    generator = Generator(engine, gate, codec, looker, template_defaults=defaults)
    watch, metrics = EngineWatch(engine, health), Metrics()
    metrics.registry.register(EngineCollector(watch))
    return Wired(
        gate=gate,
        codec=codec,
        engine=engine,
        decoder=decoder,
        generator=generator,
        methods=Methods(generator, Decider(generator, engine, gate), watch),
        health=health,
        metrics=metrics,
        reception=_reception(config, tracer, metrics),
    )


def _reception(config: ServerConfig, tracer: Tracer | None, metrics: Metrics) -> Reception:
    return Reception(
        max_request_s=config.max_request_seconds,
        tracing=None if tracer is None else _tracing(tracer, config),
        keys=config.keys,
        metrics=metrics,
    )


def _tracing(tracer: Tracer, config: ServerConfig) -> Tracing:
    shows_passes = config.trace_detail == "step" and config.trace_pass_share > 0
    return Tracing(
        tracer=tracer,
        detail=config.trace_detail,
        step_share=config.trace_step_share,
        passes=PassSpans(tracer, config.trace_pass_share) if shows_passes else None,
    )
