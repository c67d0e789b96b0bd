"""Sampling parameters of a body as the contract's. Bounds are checked there, types here."""

from __future__ import annotations

import json
import re
from typing import Any

from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.json_objects import ANY_OBJECT
from palimpsest.server.openai.members import Members
from palimpsest.v1 import sampling_pb2

_NUMBERS = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_WHOLE = {"seed": ("seed", 64), "top_k": ("top_k", 32), "n": ("candidate_count", 32)}
"""By their names in the body: the contract's, and the bits that hold it."""
_DIFFUSION_NUMBERS = (
    "entropy_bound",
    "temperature_max",
    "temperature_min",
    "confidence_threshold",
)
_DIFFUSION_WHOLE = ("max_denoising_steps", "stability_threshold", "thinking_budget")
DIFFUSION = (*_DIFFUSION_NUMBERS, *_DIFFUSION_WHOLE)
"""Members of `diffusion` that are the contract's under the same names."""
_EFFORTS = {
    "low": sampling_pb2.EFFORT_LOW,
    "medium": sampling_pb2.EFFORT_MEDIUM,
    "high": sampling_pb2.EFFORT_HIGH,
}
_TOKEN = re.compile("[0-9]{1,9}")
_NO_THINKING = "none"


def sampling(
    body: Members, diffusion: Members, *, limit: int | None
) -> sampling_pb2.SamplingParameters:
    """Those that all APIs have under the same names, and `limit`, tokens of the answer at most."""
    fields: dict[str, Any] = {name: body.number(name) for name in _NUMBERS}
    fields |= {ours: body.integer(name, bits=bits) for name, (ours, bits) in _WHOLE.items()}
    fields |= {name: diffusion.number(name) for name in _DIFFUSION_NUMBERS}
    fields |= {name: diffusion.integer(name, bits=32) for name in _DIFFUSION_WHOLE}
    fields["max_output_tokens"] = limit
    given = {name: value for name, value in fields.items() if value is not None}
    return sampling_pb2.SamplingParameters(
        **given, stop_sequences=_stop(body), logit_bias=_logit_bias(body)
    )


def effort(body: Members, name: str) -> tuple[sampling_pb2.Effort.ValueType, bool]:
    """How much work an answer may be, and whether it may hold a thought. `none` is about the
    thought alone, the others are the contract's presets and leave it as it is."""
    wanted = body.text(name)
    if wanted is None or wanted == _NO_THINKING:
        return sampling_pb2.EFFORT_UNSPECIFIED, wanted is None
    if wanted not in _EFFORTS:
        known = ", ".join([_NO_THINKING, *_EFFORTS])
        raise bad_member(body.path(name), f"{wanted!r} is none of {known}")
    return _EFFORTS[wanted], True


def response_format(body: Members) -> sampling_pb2.ResponseFormat | None:
    """That of chat completions; None is free text."""
    wanted = body.members("response_format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    schema = wanted.members("json_schema")
    wanted.finish()
    if schema is not None and kind != "json_schema":
        raise bad_member(wanted.path("json_schema"), f"cannot be with the type {kind!r}")
    nothing = Members({}, wanted.path("json_schema"))
    return _form(kind, nothing if schema is None else schema, wanted.path("type"))


def text_format(body: Members) -> sampling_pb2.ResponseFormat | None:
    """That of responses; None is free text."""
    text = body.members("text") or Members({}, "text")
    wanted = text.members("format")
    text.finish()
    return None if wanted is None else _form(wanted.text("type"), wanted, wanted.path("type"))


def _form(kind: str | None, schema: Members, path: str) -> sampling_pb2.ResponseFormat | None:
    """`path` is that of `kind`."""
    match kind:
        case "json_schema":
            return _of_schema(schema)
        case "text" | "json_object":
            schema.finish()
            return None if kind == "text" else sampling_pb2.ResponseFormat(regex=ANY_OBJECT)
    raise bad_member(path, f"{kind!r} is none of text, json_object, json_schema")


def _of_schema(schema: Members) -> sampling_pb2.ResponseFormat:
    if not schema.has("schema"):
        raise bad_member(schema.path("schema"), "is missing")
    # the order of its properties is that of the answer
    written = json.dumps(schema.plain("schema"), ensure_ascii=False)
    # an answer is always valid, which is more than `strict` asks for
    schema.finish("name", "description", "strict")
    return sampling_pb2.ResponseFormat(json_schema=written)


def token_limit(body: Members) -> int | None:
    """Tokens of the answer at most, by either name that completions have for it."""
    old = body.integer("max_tokens", bits=32)
    new = body.integer("max_completion_tokens", bits=32)
    if None not in (old, new) and old != new:
        raise bad_member("max_tokens", f"{old} is not {new}, max_completion_tokens")
    return old if new is None else new


def _stop(body: Members) -> list[str]:
    stop = body.value("stop")
    texts = [] if stop is None else stop if isinstance(stop, list) else [stop]
    if not all(isinstance(text, str) for text in texts):
        raise bad_member(body.path("stop"), "is neither a string nor a list of strings")
    return texts


def _logit_bias(body: Members) -> dict[int, float]:
    biases = Members(body.plain("logit_bias") or {}, body.path("logit_bias"))
    given = {}
    for token in biases.names():
        if _TOKEN.fullmatch(token) is None:
            raise bad_member(biases.path(token[:20]), "is not the id of a token")
        given[int(token)] = biases.number(token)
    return given
