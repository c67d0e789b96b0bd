"""How one answer of a call comes along: its figures, and what its trace and the metrics are told.

Knows no wire format and no text.
"""

from __future__ import annotations

from palimpsest.engine.api import Committed, Encoded, Finished, RequestEvent, Stepped, Usage
from palimpsest.server.exchange import Speeds
from palimpsest.server.metrics import Metrics, exemplar
from palimpsest.server.tracing import Ending, RequestTrace


class AnswerRecord:
    """How one answer of a call comes along."""

    def __init__(
        self,
        *,
        request_id: str,
        accepted_ns: int,
        trace: RequestTrace | None,
        metrics: Metrics | None,
    ) -> None:
        """`request_id` is the call's, `accepted_ns` when it was accepted."""
        self.request_id = request_id
        self.accepted_ns = accepted_ns
        self.output_tokens = 0
        self.steps = 0
        """Of denoising."""
        self.ending: Ending | None = None
        self._trace = trace
        self._metrics = metrics
        self._canvas_length = 0
        self._first_draft_ns: int | None = None
        self._first_commit_ns: int | None = None
        self._last_commit_ns = accepted_ns

    @property
    def first_draft_s(self) -> float | None:
        """Seconds from acceptance to the end of the first step; None before it."""
        if self._first_draft_ns is None:
            return None
        return self._since_acceptance(self._first_draft_ns) / 1e9

    def observe(self, event: RequestEvent) -> None:
        """Take note of an event of the engine, delivered to the caller or not."""
        if isinstance(event, Stepped):
            self.steps += 1
            if self._first_draft_ns is None:
                self._first_draft_ns = event.end_ns
        elif isinstance(event, Committed):
            self.output_tokens += len(event.token_ids)
            self._last_commit_ns = event.end_ns
            if self._first_commit_ns is None:
                self._first_commit_ns = event.end_ns
        elif isinstance(event, Finished):
            self.ending = Ending(reason=event.reason.value, usage=event.usage)
        if self._trace is not None:
            self._trace.observe(event)
        if self._metrics is not None:
            self._count(event, self._metrics)

    def drafts(self, *, sent: int, skipped: int) -> None:
        """What became of the drafts that the caller wanted."""
        if self._metrics is not None:
            self._metrics.told(sent=sent, skipped=skipped)

    def stop(self, usage: Usage, *, reason: str, last_commit_ns: int) -> None:
        """The answer has ended here, whatever else the engine has done for it meanwhile."""
        self.ending = Ending(reason=reason, usage=usage)
        self.output_tokens, self.steps = usage.output_tokens, usage.denoising_steps
        self._last_commit_ns = last_commit_ns

    def speeds(self, usage: Usage, *, canvas_length: int) -> Speeds:
        """How fast the answer was; call it after the last commit."""
        wall_s = max(self._last_commit_ns - self.accepted_ns, 1) / 1e9
        return Speeds(
            output_tokens_per_second=usage.output_tokens / wall_s,
            effective_tokens_per_second=usage.canvases * canvas_length / wall_s,
            steps_per_canvas=usage.denoising_steps / max(usage.canvases, 1),
            tokens_per_forward=usage.output_tokens / max(usage.denoising_steps, 1),
            time_to_first_draft_ns=self._since_acceptance(self._first_draft_ns),
            time_to_first_commit_ns=self._since_acceptance(self._first_commit_ns),
        )

    def _count(self, event: RequestEvent, metrics: Metrics) -> None:
        accepted_ns, trace = self.accepted_ns, exemplar(self._trace)
        match event:
            case Encoded(canvas_index=None):
                metrics.prefilled(
                    queue_s=(event.start_ns - accepted_ns) / 1e9,
                    prefill_s=(event.end_ns - event.start_ns) / 1e9,
                    tokens=event.token_count,
                    cached=event.cached_count,
                )
            case Stepped():
                if event.step == 1:
                    # all positions are new then
                    self._canvas_length = event.changed_count
                    if event.end_ns == self._first_draft_ns:
                        metrics.first_draft((event.end_ns - accepted_ns) / 1e9, trace)
                metrics.stepped(
                    seconds=(event.end_ns - event.start_ns) / 1e9,
                    batch_size=event.batch_size,
                    accepted_share=event.accepted_count / self._canvas_length,
                    device_s=None if event.device_ns is None else event.device_ns / 1e9,
                )
            case Committed():
                if event.end_ns == self._first_commit_ns:
                    metrics.first_commit((event.end_ns - accepted_ns) / 1e9, trace)
                metrics.committed(
                    steps=event.steps, converged=event.converged, tokens=len(event.token_ids)
                )
            case Finished():
                metrics.finished(event.usage)

    def _since_acceptance(self, moment_ns: int | None) -> int:
        return 0 if moment_ns is None else max(moment_ns - self.accepted_ns, 0)
