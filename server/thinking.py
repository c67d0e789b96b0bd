"""Whether and how long an answer may think, in the tokens that the engine knows."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.engine.api import InvalidRequest, Marker, Sampling, TextCodec, Thinking
from palimpsest.server.exchange import Generation
from palimpsest.server.parts import opened_thought
from palimpsest.server.prompts import ChatPrompt, Json, Prompt

FIELD = "sampling.thinking_budget"


def thinking(
    wanted: Generation,
    prompt_ids: Sequence[int],
    codec: TextCodec,
    sampling: Sampling,
    *,
    template_defaults: Json,
) -> Thinking | None:
    """None if no thought is to be expected. Raises InvalidRequest on FIELD."""
    budget, most = wanted.thinking_budget, sampling.max_output_tokens
    if budget is not None and not 0 <= budget <= most:
        raise InvalidRequest(FIELD, f"{budget} is outside 0 to {most}, max_output_tokens")
    ids = {marker: token for token, marker in codec.markers.items()}
    if not {Marker.THOUGHT, Marker.THOUGHT_END} <= ids.keys():
        if budget is not None:
            reason = "the checkpoint has no tokens that begin and end a thought"
            raise InvalidRequest(FIELD, reason)
        return None
    is_open = opened_thought(codec, prompt_ids) is not None
    if budget is None and not is_open and not _is_on(wanted.prompt, template_defaults):
        return None
    return Thinking(
        open_id=ids[Marker.THOUGHT],
        close_id=ids[Marker.THOUGHT_END],
        call_id=ids.get(Marker.CALL),
        is_open=is_open,
        budget=budget,
    )


def _is_on(prompt: Prompt, template_defaults: Json) -> bool:
    if not isinstance(prompt, ChatPrompt):
        return False
    if prompt.enable_thinking is not None:
        return prompt.enable_thinking
    return bool({**template_defaults, **prompt.template_kwargs}.get("enable_thinking"))
