"""From requests of the contract to what generation understands: parsed, checked, nothing ignored.

Pure functions. What is not in the tables of fields.py is refused by strict.py, by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

from palimpsest.engine.api import MAX_OUTPUT_TOKENS, InvalidRequest
from palimpsest.server import fields
from palimpsest.server.conversation import conversation
from palimpsest.server.exchange import (
    CanvasControl,
    Choices,
    Generation,
    JsonSchema,
    Preview,
    PreviewMode,
    Regex,
    ResponseFormat,
    ResumePoint,
)
from palimpsest.server.mailbox import Pace
from palimpsest.server.parameters import chosen_sampling
from palimpsest.server.prompts import Prompt, TextPrompt, TokenPrompt
from palimpsest.server.questions import Inquiry, Question
from palimpsest.server.strict import refuse_unsupported
from palimpsest.v1 import (
    canvas_pb2,
    decide_pb2,
    generation_pb2,
    model_pb2,
    prompt_pb2,
    sampling_pb2,
)

MAX_REQUEST_ID_BYTES = 128
MAX_RATE_HZ = 1_000.0
DEFAULT_RATE_HZ = 30.0


_PRIORITIES = {
    generation_pb2.PRIORITY_UNSPECIFIED: 0,
    generation_pb2.PRIORITY_LOW: -1,
    generation_pb2.PRIORITY_NORMAL: 0,
    generation_pb2.PRIORITY_HIGH: 1,
}
_MODES = {
    canvas_pb2.PREVIEW_MODE_METADATA: PreviewMode.METADATA,
    canvas_pb2.PREVIEW_MODE_TEXT: PreviewMode.TEXT,
    canvas_pb2.PREVIEW_MODE_TOKENS: PreviewMode.TOKENS,
}
_OPTIONAL = ("denoising_steps", "calibration_temperature", "seed")
"""Of a DecideRequest."""


class _GenerationRequest(Protocol):
    @property
    def input(self) -> generation_pb2.GenerationInput: ...


def stream_generation(request: generation_pb2.StreamGenerateRequest) -> Generation:
    """Raises InvalidRequest and Unsupported, with paths from the root of the request."""
    refuse_unsupported(request, fields.STREAM_GENERATE)
    preview, resume = _preview(request.preview), _resume_point(request.resume)
    return _generation(request, preview=preview, resume=resume)


def unary_generation(request: generation_pb2.GenerateRequest) -> Generation:
    """As `stream_generation`, without previews and from the start."""
    refuse_unsupported(request, fields.GENERATE)
    return _generation(request, preview=None, resume=None)


def inquiry(request: decide_pb2.DecideRequest) -> Inquiry:
    """Raises InvalidRequest and Unsupported; bounds are checked when it is answered."""
    refuse_unsupported(request, fields.DECIDE)
    _check_printable(request.request_id, "request_id")
    given = {name: getattr(request, name) for name in _OPTIONAL if request.HasField(name)}
    return Inquiry(
        model=request.model,
        prompt=_prompt(request.prompt, "prompt"),
        questions=tuple(Question(text=q.text, labels=tuple(q.labels)) for q in request.questions),
        **given,
    )


def count_prompt(request: model_pb2.CountTokensRequest) -> Prompt:
    """Raises InvalidRequest and Unsupported."""
    refuse_unsupported(request, fields.COUNT_TOKENS)
    return _prompt(request.prompt, "prompt")


def _generation(
    request: _GenerationRequest, *, preview: Preview | None, resume: ResumePoint | None
) -> Generation:
    for name in ("request_id", "share"):
        _check_printable(getattr(request.input, name), f"input.{name}")
    if request.input.priority not in _PRIORITIES:
        raise InvalidRequest("input.priority", f"{request.input.priority} is not a priority")
    sampling = request.input.sampling
    return Generation(
        model=request.input.model,
        prompt=_prompt(request.input.prompt, "input.prompt"),
        sampling=chosen_sampling(sampling, besides=fields.ANSWERING),
        preview=preview,
        canvas=_canvas(request.input.canvas),
        resume=resume,
        share=request.input.share,
        priority=_PRIORITIES[request.input.priority],
        stop_sequences=tuple(sampling.stop_sequences),
        candidate_count=sampling.candidate_count if sampling.HasField("candidate_count") else 1,
        thinking_budget=(
            sampling.thinking_budget if sampling.HasField("thinking_budget") else None
        ),
        response_format=_response_format(sampling),
    )


def _response_format(sampling: sampling_pb2.SamplingParameters) -> ResponseFormat | None:
    if not sampling.HasField("response_format"):
        return None
    wanted, path = sampling.response_format, "input.sampling.response_format"
    match wanted.WhichOneof("format"):
        case "json_schema":
            return JsonSchema(text=wanted.json_schema)
        case "regex":
            return Regex(pattern=wanted.regex)
        case "choices":
            return Choices(texts=tuple(wanted.choices.texts))
        case _:
            raise InvalidRequest(path, "is empty: set json_schema, regex or choices")


def is_request_id(request_id: str) -> bool:
    """Whether it can stand in a line of the log."""
    return len(request_id.encode()) <= MAX_REQUEST_ID_BYTES and request_id.isprintable()


def _check_printable(name: str, path: str) -> None:
    if not is_request_id(name):
        reason = f"is not {MAX_REQUEST_ID_BYTES} bytes or less of printable text"
        raise InvalidRequest(path, reason)


def _prompt(prompt: prompt_pb2.Prompt, path: str) -> Prompt:
    match prompt.WhichOneof("kind"):
        case "text":
            _require_content(prompt.text, f"{path}.text")
            return TextPrompt(text=prompt.text)
        case "tokens":
            _require_content(prompt.tokens.token_ids, f"{path}.tokens.token_ids")
            return TokenPrompt(token_ids=tuple(prompt.tokens.token_ids))
        case "chat":
            return conversation(prompt.chat, f"{path}.chat")
        case _:
            raise InvalidRequest(path, "is empty: set text, tokens or chat")


def _require_content(content: str | Iterable[object], path: str) -> None:
    if not content:
        raise InvalidRequest(path, "is empty")


def _canvas(control: canvas_pb2.CanvasControl) -> CanvasControl:
    given = CanvasControl(
        starting_token_ids=tuple(control.starting_token_ids),
        pinned_positions=tuple(control.pinned_positions),
        template=tuple(_spans(control.template)),
        read_only=control.read_only,
        canvas_length=control.canvas_length if control.HasField("canvas_length") else None,
    )
    if control.HasField("template"):
        if not any(isinstance(span, int) for span in given.template):
            raise InvalidRequest("input.canvas.template.spans", "have no gap")
        if given.starting_token_ids or given.pinned_positions:
            reason = "cannot be together with starting_token_ids or pinned_positions"
            raise InvalidRequest("input.canvas.template", reason)
    return given


def _spans(template: canvas_pb2.CanvasTemplate) -> Iterator[str | int]:
    for index, span in enumerate(template.spans):
        path = f"input.canvas.template.spans[{index}]"
        match span.WhichOneof("kind"):
            case "literal":
                yield span.literal
            case "free":
                if not 1 <= span.free.token_count <= MAX_OUTPUT_TOKENS:
                    reason = f"{span.free.token_count} is outside 1 to {MAX_OUTPUT_TOKENS}"
                    raise InvalidRequest(f"{path}.free.token_count", reason)
                yield span.free.token_count
            case _:
                raise InvalidRequest(path, "is empty: set literal or free")


def _preview(options: canvas_pb2.PreviewOptions) -> Preview | None:
    if options.mode not in canvas_pb2.PreviewMode.values():
        raise InvalidRequest("preview.mode", f"{options.mode} is not a mode")
    mode = _MODES.get(options.mode)
    for flag in sorted(fields.PREVIEW):
        of_tokens = flag.startswith(("include_", "allow_"))
        if of_tokens and getattr(options, flag) and mode is not PreviewMode.TOKENS:
            raise InvalidRequest(f"preview.{flag}", "needs preview.mode PREVIEW_MODE_TOKENS")
    rate_hz = options.max_rate_hz if options.HasField("max_rate_hz") else DEFAULT_RATE_HZ
    if math.isnan(rate_hz) or not 0.0 < rate_hz <= MAX_RATE_HZ:
        reason = f"{rate_hz} is not above 0 and at most {MAX_RATE_HZ:.0f}"
        raise InvalidRequest("preview.max_rate_hz", reason)
    if mode is None:
        return None
    return Preview(
        mode=mode,
        pace=Pace(every_n_steps=max(options.every_n_steps, 1), max_rate_hz=rate_hz),
        confidence=options.include_confidence,
        accepted_mask=options.include_accepted_mask,
        entropy=options.include_entropy,
        token_texts=options.include_token_texts,
        deltas=options.allow_deltas,
    )


def _resume_point(point: generation_pb2.ResumePoint) -> ResumePoint | None:
    if not (point.first_canvas_index or point.committed_token_ids):
        return None
    return ResumePoint(
        first_canvas_index=point.first_canvas_index,
        committed_token_ids=tuple(point.committed_token_ids),
    )
