"""What a canvas starts from and keeps, for both clients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.errors import invalid_field
from palimpsest.v1 import canvas_pb2

_GAP = re.compile(r"\[\[(\d+)\]\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """The fields of `CanvasControl`; positions count from the answer's first token."""

    starting_token_ids: Sequence[int] = ()
    pinned_positions: Sequence[int] = ()
    """Those of `starting_token_ids` that stay."""
    template: str | Sequence[str | int] = ()
    """Literals, and gaps as their number of tokens; or text with `[[8]]` for a gap of 8 tokens."""
    read_only: bool = False
    """Whether the answer is one canvas."""
    canvas_length: int | None = None
    """None is the model's."""


def control_of(canvas: Canvas) -> canvas_pb2.CanvasControl:
    """The message of a canvas. Raises InvalidRequest."""
    spans = canvas.template
    if isinstance(spans, str):
        parts = _GAP.split(spans)
        spans = [int(part) if i % 2 else part for i, part in enumerate(parts) if part]
    try:
        return canvas_pb2.CanvasControl(
            starting_token_ids=canvas.starting_token_ids,
            pinned_positions=canvas.pinned_positions,
            template=canvas_pb2.CanvasTemplate(spans=map(_span, spans)) if spans else None,
            read_only=canvas.read_only,
            canvas_length=canvas.canvas_length,
        )
    except (ValueError, TypeError) as error:
        raise invalid_field("input.canvas", f"{canvas} does not fit: {error}") from error


def _span(span: str | int) -> canvas_pb2.TemplateSpan:
    if isinstance(span, str):
        return canvas_pb2.TemplateSpan(literal=span)
    return canvas_pb2.TemplateSpan(free=canvas_pb2.FreeSpan(token_count=span))
