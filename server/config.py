"""The command line of `palimpsest serve`: flags, their bounds and what they mean.

Flags carry vLLM's names where they mean the same.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from palimpsest.engine.api import (
    BUNDLED,
    DEFAULT_MAX_NUM_SEQS,
    DEFAULT_PREFILL_TOKENS,
    RESERVED_TEMPLATE_VARIABLES,
    EngineOptions,
)
from palimpsest.server.keys import KEY_FILE_FLAG, KEY_VARIABLE, Keys, is_loopback, read_keys
from palimpsest.server.logs import FORMATS

USAGE_ERROR = 2
"""Exit code for flags and checkpoints that cannot be served."""

_ORIGIN = re.compile(r"https?://[^/\s?#]+")

EXAMPLES = """\
examples:
  palimpsest serve
      the bundled model on 127.0.0.1:50051, for OpenAI's clients on http://127.0.0.1:8080/v1, and
      as a page on http://127.0.0.1:8080/
  palimpsest serve --model /models/diffusiongemma --host 0.0.0.0 --api-key-file keys.txt
      a checkpoint folder, reachable from other machines by callers who have a key
  palimpsest serve --max-model-len 8192 --gpu-memory-utilization 0.8 --device cuda:1
      a smaller context on the second GPU, leaving a fifth of its memory free
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 palimpsest serve
      with traces, sent to a collector or Jaeger
"""


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
    max_queue: int
    """Requests that may wait while others run."""
    max_request_seconds: float
    """No request runs longer, whatever deadline its caller set."""
    shutdown_timeout: float
    """Seconds that running requests are given to end after SIGTERM."""
    otlp_traces_endpoint: str | None
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
        _within("--max-queue", self.max_queue, 0, 100_000)
        _within("--max-request-seconds", self.max_request_seconds, 0.001, 86_400)
        _within("--shutdown-timeout", self.shutdown_timeout, 0, 86_400)

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
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporter not in ("", "otlp", "none"):
        raise ValueError(f"OTEL_TRACES_EXPORTER: {exporter!r} is not otlp or none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    wanted = exporter == "otlp" or (
        exporter == ""
        and bool(
            endpoint
            or environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        )
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
    for flag, settings in _MODEL_FLAGS.items():
        model.add_argument(flag, **settings)
    server = parser.add_argument_group("server")
    for flag, settings in _SERVER_FLAGS.items():
        server.add_argument(flag, **settings)
    return parser


def _within(flag: str, value: float, low: float, high: float) -> None:
    if math.isnan(value) or not low <= value <= high:
        raise ValueError(f"{flag}: {value} is not within {low} to {high}")


def _port_or_off(text: str) -> int | None:
    if text == "off":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor 'off'") from None


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


_MODEL_FLAGS: Mapping[str, dict[str, Any]] = {
    "--model": {
        "default": BUNDLED,
        "metavar": "FOLDER",
        "help": "checkpoint folder, or 'bundled' for the small model in the package (default)",
    },
    "--served-model-name": {
        "metavar": "NAME",
        "help": "name that requests use (default: the checkpoint's own)",
    },
    "--max-model-len": {
        "type": int,
        "metavar": "TOKENS",
        "help": "tokens of prompt and answer together (default: what the checkpoint allows)",
    },
    "--max-num-seqs": {
        "type": int,
        "default": DEFAULT_MAX_NUM_SEQS,
        "metavar": "N",
        "help": "canvases denoised at the same time (default: %(default)s)",
    },
    "--max-prefill-tokens": {
        "type": int,
        "default": DEFAULT_PREFILL_TOKENS,
        "metavar": "TOKENS",
        "help": "prompt tokens of one pass, over all requests (default: %(default)s)",
    },
    "--kv-cache-memory": {
        "type": float,
        "metavar": "GIB",
        "help": "memory for keys and values (default: what --gpu-memory-utilization leaves; 0.25 "
        "on a CPU)",
    },
    "--gpu-memory-utilization": {
        "type": float,
        "default": 0.9,
        "metavar": "SHARE",
        "help": "share of the device's memory to use, above 0, at most 1 (default: %(default)s)",
    },
    "--device": {"default": "auto", "help": "auto, cpu, cuda or cuda:N (default: %(default)s)"},
    "--dtype": {"default": "auto", "help": "auto, float32 or bfloat16 (default: %(default)s)"},
    "--kernels": {
        "default": "plain",
        "help": "what runs a pass: plain torch, or fused kernels in a CUDA graph, which were not "
        "measured on a GPU yet (default: %(default)s)",
    },
    "--threads": {
        "type": int,
        "metavar": "N",
        "help": "CPU threads of a pass (default: all cores; fewer for few rows of a small model)",
    },
    "--default-chat-template-kwargs": {
        "type": _json_object,
        "default": {},
        "metavar": "JSON",
        "help": "variables of the chat template that requests may override, such as "
        """'{"enable_thinking": true}'""",
    },
}

_SERVER_FLAGS: Mapping[str, dict[str, Any]] = {
    "--host": {
        "default": "127.0.0.1",
        "help": "address to listen on; 0.0.0.0 is all of them (default: %(default)s)",
    },
    "--port": {
        "type": int,
        "default": 50_051,
        "help": "port of gRPC; 0 picks a free one (default: %(default)s)",
    },
    "--http-port": {
        "type": _port_or_off,
        "default": 8_080,
        "metavar": "PORT",
        "help": "port of HTTP; 0 picks a free one, 'off' is none (default: %(default)s)",
    },
    "--cors-origin": {
        "action": "append",
        "default": [],
        "metavar": "ORIGIN",
        "help": "let pages of this origin call over HTTP, such as https://app.example; * is all; "
        "may be repeated (default: none)",
    },
    "--api-key-file": {
        "type": Path,
        "metavar": "FILE",
        "help": "keys that callers have to show, one a line, # begins a comment; those of the "
        "variable PALIMPSEST_API_KEY, separated by commas, count too",
    },
    "--no-auth": {
        "action": "store_true",
        "help": "let anyone call; needed to listen on other than loopback addresses without keys",
    },
    "--max-queue": {
        "type": int,
        "default": 256,
        "metavar": "N",
        "help": "requests that may wait; more are refused at once (default: %(default)s)",
    },
    "--max-request-seconds": {
        "type": float,
        "default": 600.0,
        "metavar": "SECONDS",
        "help": "no request runs longer, whatever its own deadline (default: %(default)s)",
    },
    "--shutdown-timeout": {
        "type": float,
        "default": 30.0,
        "metavar": "SECONDS",
        "help": "time running requests get to end after SIGTERM (default: %(default)s)",
    },
    "--otlp-traces-endpoint": {
        "metavar": "URL",
        "help": "send traces here, by OTLP over gRPC; the OTEL_* variables work too",
    },
    "--log-format": {
        "choices": FORMATS,
        "default": "text",
        "help": "lines of the log on standard error: text, or one JSON object each "
        "(default: %(default)s)",
    },
    "--ready-json": {
        "action": "store_true",
        "help": 'print {"address": …, "http": …, "model": …} on standard output when requests are '
        "answered; http is null where it is off",
    },
    "--exit-with-stdin": {
        "action": "store_true",
        "help": "end when standard input closes, for programs that start a server of their own",
    },
}
