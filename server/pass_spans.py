"""Spans of the engine's passes, each a trace of its own with links to the canvases that shared it.

A step of one request is the same pass as the steps of others, so it cannot be a child of them all.
"""

from __future__ import annotations

import asyncio
import random

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Tracer

from palimpsest.engine.api import Stepped
from palimpsest.server.span_names import BATCH_SIZE, PASS_SPAN, STEP_DEVICE

MAX_LINKS = 64
"""From a pass; canvases beyond are counted in its batch size alone."""


class PassSpans:
    """One for all requests; told of every step that is traced, inside a running event loop."""

    def __init__(self, tracer: Tracer, share: float) -> None:
        """`share` of the passes get a span, of those that the sampler lets through."""
        self._tracer = tracer
        self._share = share
        self._start_ns: int | None = None
        self._span: Span | None = None
        self._end_ns = 0
        self._links = 0

    def links(self, step: Stepped) -> tuple[Link, ...]:
        """From a step to its pass; none where that has no span."""
        if step.start_ns != self._start_ns:
            self._close()
            self._open(step)
        return () if self._span is None else (Link(self._span.get_span_context()),)

    def link(self, member: Span) -> None:
        """From the pass that `links` was last asked for to the span of one of its canvases."""
        if self._span is not None and self._links < MAX_LINKS:
            self._span.add_link(member.get_span_context())
            self._links += 1

    def _open(self, step: Stepped) -> None:
        # steps of a pass come in one frame, which is handled without a pause
        asyncio.get_running_loop().call_soon(self._close)
        self._start_ns, self._end_ns, self._links = step.start_ns, step.end_ns, 0
        if random.random() >= self._share:
            return
        attributes: dict[str, float] = {BATCH_SIZE: step.batch_size}
        if step.device_ns is not None:
            attributes[STEP_DEVICE] = step.device_ns / 1e6
        span = self._tracer.start_span(
            PASS_SPAN, Context(), attributes=attributes, start_time=step.start_ns
        )
        self._span = span if span.is_recording() else None

    def _close(self) -> None:
        self._start_ns = None
        if self._span is not None:
            self._span.end(self._end_ns)
            self._span = None
