"""From what a caller says about the canvas to what the engine does with it: literals become pinned
tokens, and everything is checked. Knows no wire format.
"""

from __future__ import annotations

from palimpsest.engine.api import CanvasPlan, InvalidRequest, ModelInfo, Sampling, TextCodec
from palimpsest.server.exchange import CanvasControl


def plan(
    control: CanvasControl, codec: TextCodec, model: ModelInfo, sampling: Sampling
) -> CanvasPlan:
    """Raises InvalidRequest, with field paths that start at `canvas`."""
    length = control.canvas_length
    if length is not None and not 1 <= length <= model.canvas_length:
        reason = f"{length} is outside 1 to {model.canvas_length}"
        raise InvalidRequest("canvas.canvas_length", reason)
    if control.template:
        laid = _template(control, codec)
        positions, field = laid.template_length or 0, "canvas.template"
    else:
        laid = _start(control, model)
        positions, field = len(laid.starting_ids), "canvas.starting_token_ids"
    most = sampling.max_output_tokens
    if control.read_only:
        most = min(most, length or model.canvas_length)
    if positions > most:
        whole = "one canvas" if most < sampling.max_output_tokens else "max_output_tokens"
        raise InvalidRequest(field, f"{positions} positions are more than {most}, {whole}")
    return laid


def _start(control: CanvasControl, model: ModelInfo) -> CanvasPlan:
    ids, pinned = control.starting_token_ids, control.pinned_positions
    for token in ids:
        if token >= model.vocabulary_size:
            reason = f"{token} is outside 0 to {model.vocabulary_size - 1}"
            raise InvalidRequest("canvas.starting_token_ids", reason)
    for before, position in zip((-1, *pinned), pinned, strict=False):
        if not before < position < len(ids):
            reason = (
                f"{position} is not above the position before it and below {len(ids)}, the number "
                "of starting_token_ids"
            )
            raise InvalidRequest("canvas.pinned_positions", reason)
    return CanvasPlan(
        starting_ids=ids,
        pinned=tuple((position, ids[position]) for position in pinned),
        read_only=control.read_only,
        canvas_length=control.canvas_length,
    )


def _template(control: CanvasControl, codec: TextCodec) -> CanvasPlan:
    pinned: list[tuple[int, int]] = []
    position = 0
    for index, span in enumerate(control.template):
        if isinstance(span, int):
            position += span
            continue
        ids = codec.encode_plain(span)
        if codec.decode(ids) != span:
            field = f"canvas.template.spans[{index}].literal"
            raise InvalidRequest(field, "the tokenizer cannot keep it byte for byte")
        pinned += enumerate(ids, start=position)
        position += len(ids)
    return CanvasPlan(
        pinned=tuple(pinned),
        template_length=position,
        read_only=control.read_only,
        canvas_length=control.canvas_length,
    )
