"""Where an answer whose stream broke is taken up: what has to hold for it to go on exactly.

Knows no wire format.
"""

from __future__ import annotations

from palimpsest.engine.api import InvalidRequest, ModelInfo, Sampling
from palimpsest.server.exchange import Generation


def committed_tokens(wanted: Generation, model: ModelInfo) -> tuple[int, ...]:
    """Tokens of the canvases before the first one wanted; none of an answer that is wanted whole.

    Raises InvalidRequest, with field paths that start at `resume` and `sampling`.
    """
    resume = wanted.resume
    if resume is None:
        return ()
    if wanted.candidate_count > 1:
        reason = f"{wanted.candidate_count} answers cannot be taken up at once, at most 1"
        raise InvalidRequest("sampling.candidate_count", reason)
    if "seed" not in wanted.sampling:
        reason = "is not set: only the seed of the broken stream continues it exactly"
        raise InvalidRequest("sampling.seed", reason)
    if wanted.canvas.template:
        reason = "an answer by a template is not resumed, it starts over"
        raise InvalidRequest("resume.first_canvas_index", reason)
    tokens = resume.committed_token_ids
    length = wanted.canvas.canvas_length or model.canvas_length
    expected = resume.first_canvas_index * length
    if len(tokens) != expected:
        raise InvalidRequest(
            "resume.committed_token_ids",
            f"{len(tokens)} tokens are not first_canvas_index {resume.first_canvas_index} times "
            f"the canvas length {length}, {expected}",
        )
    if (highest := max(tokens)) >= model.vocabulary_size:
        raise InvalidRequest(
            "resume.committed_token_ids",
            f"{highest} is outside 0 to {model.vocabulary_size - 1}",
        )
    return tokens


def refuse_ended(
    committed: tuple[int, ...], sampling: Sampling, model: ModelInfo, *, prompt_tokens: int
) -> None:
    """Raises InvalidRequest on `resume` if the answer ends with the tokens that are committed."""
    if committed and (end := _end(committed, sampling, model, prompt_tokens)) is not None:
        raise InvalidRequest("resume", f"{end}: nothing is left to resume")


def refuse_stopped(stop_sequence: str | None) -> None:
    """Raises InvalidRequest on `resume` if a stop sequence ends the answer in what is committed."""
    if stop_sequence is not None:
        reason = f"the canvases hold the stop sequence {stop_sequence!r}: nothing is left to resume"
        raise InvalidRequest("resume", reason)


def _end(
    committed: tuple[int, ...], sampling: Sampling, model: ModelInfo, prompt_tokens: int
) -> str | None:
    """What ends the answer there, if anything does."""
    count, length = len(committed), model.canvas_length
    ends = {*model.end_token_ids, *sampling.stop_token_ids}
    for index, token in enumerate(committed):
        if token in ends:
            return f"token {index} is the end token {token}"
    if prompt_tokens + count + length > model.max_context_tokens:
        return (
            f"{prompt_tokens} tokens of the prompt, {count} of the answer and one canvas of "
            f"{length} are more than the context of {model.max_context_tokens} tokens"
        )
    if count >= sampling.max_output_tokens:
        return f"{count} tokens are all that max_output_tokens {sampling.max_output_tokens} allows"
    return None
