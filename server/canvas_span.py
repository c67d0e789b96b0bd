"""The span of a canvas, open from its first step to its commit, and what it tells of its steps."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Tracer, set_span_in_context

from palimpsest.engine.api import Committed, Stepped
from palimpsest.server import span_names as names

MAX_COUNTS = 64
"""First steps of a canvas whose accepted positions its span lists."""


class CanvasSpan:
    """Made when its first step is done."""

    def __init__(self, tracer: Tracer, parent: Context, step: Stepped) -> None:
        self.span = tracer.start_span(
            names.CANVAS_SPAN,
            parent,
            attributes={names.CANVAS_INDEX: step.canvas_index},
            start_time=step.start_ns,
        )
        self.context = set_span_in_context(self.span)
        self.end_ns: int | None = None
        """Of its last step, once that is known to be the last."""
        self._steps = 0
        self._slowest_ns = 0
        self._accepted: list[int] = []

    def step(self, step: Stepped) -> None:
        """Another step is done."""
        self._steps = step.step
        self._slowest_ns = max(self._slowest_ns, step.end_ns - step.start_ns)
        if len(self._accepted) < MAX_COUNTS:
            self._accepted.append(step.accepted_count)

    def commit(self, event: Committed) -> None:
        """Its tokens are final."""
        self.end_ns = event.end_ns
        self.span.set_attribute(names.CANVAS_CONVERGED, event.converged)
        self.span.set_attribute(names.CANVAS_TOKENS, len(event.token_ids))

    def end(self, end_ns: int) -> None:
        """Nothing comes after."""
        self.span.set_attributes(
            {
                names.CANVAS_STEPS: self._steps,
                names.CANVAS_ACCEPTED: self._accepted,
                names.CANVAS_SLOWEST_STEP: self._slowest_ns / 1e6,
            }
        )
        self.span.end(end_ns)
