"""The flags of `palimpsest serve` and their help. Names are vLLM's where they mean the same."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palimpsest.engine.api import BUNDLED, DEFAULT_MAX_NUM_SEQS, DEFAULT_PREFILL_TOKENS
from palimpsest.server.logs import FORMATS
from palimpsest.server.tracing import DETAILS

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


MODEL_FLAGS: Mapping[str, dict[str, Any]] = {
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
    "--fp8-lm-head": {
        "action": "store_true",
        "help": "fused kernels read logits off the embedding in FP8: half the bytes, and logits "
        "that are off by 4 %% of their spread (default: 16 bits)",
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

SERVER_FLAGS: Mapping[str, dict[str, Any]] = {
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
    "--allowed-media-domains": {
        "action": "append",
        "default": [],
        "metavar": "HOST",
        "help": "fetch images and videos by URL from this host, or host:port, unless its address "
        "is private; may be repeated (default: none, URLs are refused)",
    },
    "--max-media-mib": {
        "type": int,
        "default": 32,
        "metavar": "MIB",
        "help": "size of the images and videos of a request, and of one that is fetched (default: "
        "%(default)s)",
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
    "--trace-detail": {
        "choices": DETAILS,
        "default": "step",
        "help": "how far down the spans of a trace go (default: %(default)s); which requests are "
        "traced at all says OTEL_TRACES_SAMPLER",
    },
    "--trace-step-share": {
        "type": float,
        "default": 1.0,
        "metavar": "SHARE",
        "help": "share of traced requests whose steps have spans, 0 to 1 (default: %(default)s)",
    },
    "--trace-pass-share": {
        "type": float,
        "default": 0.01,
        "metavar": "SHARE",
        "help": "share of the engine's passes that become a trace of their own with links to all "
        "canvases in it, 0 to 1, where --trace-detail is step (default: %(default)s)",
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
