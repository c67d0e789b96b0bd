"""The command line of `palimpsest serve`, read and checked; flags.py has the flags."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from palimpsest.engine.api import (
    RESERVED_TEMPLATE_VARIABLES,
    EngineOptions,
)
from palimpsest.server.flags import EXAMPLES, MODEL_FLAGS, SERVER_FLAGS
from palimpsest.server.keys import KEY_FILE_FLAG, KEY_VARIABLE, Keys, is_loopback, read_keys

USAGE_ERROR = 2
"""Exit code for flags and checkpoints that cannot be served."""

_ORIGIN = re.compile(r"https?://[^/\s?#]+")
_DOMAIN = re.compile(r"[a-z0-9.-]+(:[0-9]+)?")
_TEXT_BYTES = 4 * 2**20
"""Of a request, for all that is no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything an operator chose. Raises ValueError naming the flag, its value and its bound."""

    engine: EngineOptions
    default_chat_template_kwargs: Mapping[str, Any]
    """Variables of the chat template for requests that do not set them."""
    host: str
    port: int
    """0 picks a free one."""
    http_port: int | None
    """As `port`; None: there is no HTTP."""
    cors_origin: Sequence[str]
    """Of pages that may call over HTTP, as browsers write them; `*` is all."""
    keys: Keys | None
    """What callers have to show; None: anyone may call."""
    no_auth: bool
    """Whether it is meant that anyone may."""
    allowed_media_domains: Sequence[str]
    """Hosts from which files are fetched; none: URLs are refused."""
    max_media_mib: int
    """Of the files of a request."""
    max_queue: int
    """Requests that may wait while others run."""
    max_request_seconds: float
    """No request runs longer, whatever deadline its caller set."""
    shutdown_timeout: float
    """Seconds that running requests are given to end after SIGTERM."""
    otlp_traces_endpoint: str | None
    trace_detail: str
    """One of tracing.DETAILS."""
    trace_step_share: float
    """Of traced requests whose steps have spans."""
    trace_pass_share: float
    """Of passes that have a span."""
    log_format: str
    """One of logs.FORMATS."""
    ready_json: bool
    exit_with_stdin: bool

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("--host: '' is not an address")
        for name, value in self.default_chat_template_kwargs.items():
            flag = "--default-chat-template-kwargs"
            if name in RESERVED_TEMPLATE_VARIABLES:
                raise ValueError(f"{flag}: {name!r} is set by the server")
            if name == "enable_thinking" and not isinstance(value, bool):
                raise ValueError(f"{flag}: enable_thinking: {value!r} is not true or false")
        _within("--port", self.port, 0, 65_535)
        if self.http_port is not None:
            _within("--http-port", self.http_port, 0, 65_535)
        for origin in self.cors_origin:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"--cors-origin: {origin!r} is not *, nor like https://a.example")
        self._check_access()
        for domain in self.allowed_media_domains:
            if not _DOMAIN.fullmatch(domain):
                flag = "--allowed-media-domains"
                raise ValueError(f"{flag}: {domain!r} is no host in small letters, nor host:port")
        _within("--max-media-mib", self.max_media_mib, 1, 1_024)
        _within("--max-queue", self.max_queue, 0, 100_000)
        _within("--max-request-seconds", self.max_request_seconds, 0.001, 86_400)
        _within("--shutdown-timeout", self.shutdown_timeout, 0, 86_400)
        _within("--trace-step-share", self.trace_step_share, 0, 1)
        _within("--trace-pass-share", self.trace_pass_share, 0, 1)

    @property
    def max_media_bytes(self) -> int:
        return self.max_media_mib << 20

    @property
    def max_message_bytes(self) -> int:
        """Of a request over gRPC."""
        return self.max_media_bytes + _TEXT_BYTES

    @property
    def max_body_bytes(self) -> int:
        """Of a request over HTTP, in base64 if need be."""
        return -(-self.max_media_bytes // 3) * 4 + _TEXT_BYTES

    def _check_access(self) -> None:
        if self.no_auth and self.keys is not None:
            raise ValueError(f"--no-auth: cannot be with keys ({KEY_FILE_FLAG}, {KEY_VARIABLE})")
        if self.keys is None and not self.no_auth and not is_loopback(self.host):
            raise ValueError(
                f"--host: {self.host} is reached from other machines, and there are no keys: set "
                f"{KEY_FILE_FLAG} or {KEY_VARIABLE}, or --no-auth if anyone may call"
            )


def parse(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> ServerConfig:
    """What `arguments` and `environment` describe; exits with code 2 and one line if that cannot
    be."""
    parser = _parser()
    flags = vars(parser.parse_args(arguments))
    key_file = flags.pop("api_key_file")
    engine_flags = {field.name: flags.pop(field.name) for field in fields(EngineOptions)}
    try:
        keys = read_keys(key_file, environment or {})
        return ServerConfig(engine=EngineOptions(**engine_flags), keys=keys, **flags)
    except ValueError as error:
        parser.error(str(error))


def wants_traces(environment: Mapping[str, str], endpoint: str | None) -> bool:
    """Whether traces were asked for, by flag or by OpenTelemetry's variables.

    Raises ValueError for an exporter or protocol other than OTLP over gRPC.
    """
    anywhere = endpoint or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return _wants("TRACES", environment, bool(anywhere), others=())


def wants_metrics(environment: Mapping[str, str]) -> bool:
    """Whether metrics are to be sent too, by OpenTelemetry's variables: an endpoint for all is not
    enough, as most collectors of traces take none. Raises as `wants_traces`.
    """
    return _wants("METRICS", environment, False, others=("prometheus",))


def _wants(
    signal: str, environment: Mapping[str, str], anywhere: bool, *, others: Sequence[str]
) -> bool:
    """`anywhere` is whether there is an endpoint but the signal's own; `others` are exporters that
    send nothing."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get(f"OTEL_{signal}_EXPORTER", "")
    if exporter not in ("", "otlp", "none", *others):
        raise ValueError(f"OTEL_{signal}_EXPORTER: {exporter!r} is not otlp or none")
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    wanted = exporter == "otlp" or (exporter == "" and (anywhere or bool(own)))
    protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    if wanted and protocol not in (None, "grpc"):
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not grpc")
    return wanted


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, instead of after a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="palimpsest serve",
        description="Serve a text-diffusion model over gRPC, and over HTTP for OpenAI's clients.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    model = parser.add_argument_group("model")
    for flag, settings in MODEL_FLAGS.items():
        model.add_argument(flag, **settings)
    server = parser.add_argument_group("server")
    for flag, settings in SERVER_FLAGS.items():
        server.add_argument(flag, **settings)
    return parser


def _within(flag: str, value: float, low: float, high: float) -> None:
    if math.isnan(value) or not low <= value <= high:
        raise ValueError(f"{flag}: {value} is not within {low} to {high}")
