"""The fields of the contract that this version acts on; all others are refused by name."""

from __future__ import annotations

from collections.abc import Iterable


def _below(prefix: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{prefix}.{name}" for name in names)


IMAGE = frozenset({"data", "mime_type", "url", "max_soft_tokens"})
MEDIA = (
    _below("image", IMAGE)
    | _below("video", {"data", "url", "mime_type", "fps", "max_soft_tokens"})
    | _below("video.frames.images", IMAGE)
)
CHAT = _below("messages.parts", MEDIA) | frozenset(
    {
        "messages.role",
        "messages.parts.text",
        "messages.thought",
        "messages.tool_calls.id",
        "messages.tool_calls.name",
        "messages.tool_calls.arguments",
        "messages.tool_result.tool_call_id",
        "messages.tool_result.name",
        "messages.tool_result.response",
        "tools.name",
        "tools.description",
        "tools.parameters",
        "tools.response",
        "tool_choice.mode",
        "enable_thinking",
        "template_kwargs",
    }
)
PROMPT = frozenset({"text", "tokens.token_ids"}) | _below("chat", CHAT)
SAMPLING = frozenset(
    {
        "max_output_tokens",
        "max_denoising_steps",
        "effort",
        "entropy_bound",
        "temperature_max",
        "temperature_min",
        "confidence_threshold",
        "stability_threshold",
        "seed",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "logit_bias",
        "banned_token_ids",
        "allowed_token_ids",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "stop_token_ids",
        "logprobs",
    }
)
CANVAS = frozenset(
    {
        "starting_token_ids",
        "pinned_positions",
        "template.spans.literal",
        "template.spans.free.token_count",
        "read_only",
        "canvas_length",
    }
)
FORMATS = frozenset({"json_schema", "regex", "choices.texts"})
ANSWERING = frozenset({"stop_sequences", "candidate_count", "thinking_budget", "response_format"})
"""Those under `sampling` that are no fields of the engine's Sampling."""
PREVIEW = frozenset(
    {
        "allow_deltas",
        "mode",
        "every_n_steps",
        "max_rate_hz",
        "include_confidence",
        "include_accepted_mask",
        "include_entropy",
        "include_token_texts",
    }
)
RESUME = frozenset({"first_canvas_index", "committed_token_ids"})
INPUT = (
    frozenset({"model", "request_id", "share", "priority"})
    | _below("prompt", PROMPT)
    | _below("sampling", SAMPLING | ANSWERING - {"response_format"})
    | _below("sampling.response_format", FORMATS)
    | _below("canvas", CANVAS)
)
GENERATE = _below("input", INPUT)
STREAM_GENERATE = GENERATE | _below("preview", PREVIEW) | _below("resume", RESUME)
DECIDE = frozenset(
    {
        "model",
        "request_id",
        "questions.text",
        "questions.labels",
        "denoising_steps",
        "calibration_temperature",
        "seed",
    }
) | _below("prompt", PROMPT)
COUNT_TOKENS = frozenset({"model"}) | _below("prompt", PROMPT)
GET_MODEL = frozenset({"model"})
LIST_MODELS: frozenset[str] = frozenset()
WATCH_ENGINE = frozenset({"model", "interval", "include_canvases"})
