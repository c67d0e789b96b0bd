"""One call from acceptance to its status: its id, clock, counts, log line and trace.

Prompts and answers are never logged. Knows no wire format.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from palimpsest.engine.api import (
    Committed,
    Encoded,
    Finished,
    ModelInfo,
    RequestEvent,
    Stepped,
    Usage,
)
from palimpsest.server.exchange import Speeds
from palimpsest.server.keys import Unauthenticated
from palimpsest.server.logs import figures
from palimpsest.server.metrics import Metrics, exemplar
from palimpsest.server.tracing import Ending, RequestTrace

log = logging.getLogger(__name__)


class Call:
    """Made when a call is accepted; `end` is called exactly once, with its status."""

    def __init__(
        self,
        *,
        method: str,
        request_id: str,
        time_limit_s: float,
        trace: RequestTrace | None,
        metrics: Metrics | None = None,
        refusal: Unauthenticated | None = None,
    ) -> None:
        """`time_limit_s` is the caller's deadline or the server's own, in seconds from now;
        `refusal` is why its caller may not call, if so."""
        self.method = method
        self.request_id = request_id
        self.accepted_ns = time.time_ns()
        self.deadline_s = asyncio.get_running_loop().time() + time_limit_s
        """When the call has to end, on the event loop's clock."""
        self._refusal = refusal
        self._trace = trace
        self._metrics = metrics
        self._prompt_tokens = 0
        self._answers: list[AnswerRecord] = []
        if trace is not None:
            trace.begin(method=method, request_id=request_id, start_ns=self.accepted_ns)

    def let_in(self) -> None:
        """Comes first of all that is done for a call. Raises Unauthenticated."""
        if self._refusal is not None:
            raise self._refusal

    def describe(self, *, operation: str, model: ModelInfo, prompt_tokens: int) -> None:
        """Say what the call is about, as soon as that is known."""
        self._prompt_tokens = prompt_tokens
        if self._trace is not None:
            self._trace.describe(operation=operation, model=model, prompt_tokens=prompt_tokens)

    def answer(self) -> AnswerRecord:
        """The record of one more answer that the call gives."""
        self._answers.append(AnswerRecord(self, self._trace, self._metrics))
        return self._answers[-1]

    def remaining_s(self) -> float:
        """Seconds to the deadline; negative behind it."""
        return self.deadline_s - asyncio.get_running_loop().time()

    def end(self, status: str) -> None:
        """Write the log line and close the trace. `status` is a gRPC status name, such as `OK`."""
        end_ns = time.time_ns()
        seconds = (end_ns - self.accepted_ns) / 1e9
        log.info(self.method, extra=self._figures(status, seconds))
        if self._metrics is not None:
            self._metrics.called(self.method, status, seconds, exemplar(self._trace))
        if self._trace is not None:
            endings = [answer.ending for answer in self._answers if answer.ending is not None]
            self._trace.end(status=status, end_ns=end_ns, endings=endings)

    def _figures(self, status: str, seconds: float) -> dict[str, Any]:
        """What the log says of the call."""
        answers = self._answers
        return figures(
            request_id=self.request_id,
            status=status,
            prompt_tokens=self._prompt_tokens,
            output_tokens=sum(answer.output_tokens for answer in answers),
            seconds=seconds,
            denoising_steps=sum(answer.steps for answer in answers) if answers else None,
            first_draft_seconds=min(
                (answer.first_draft_s for answer in answers if answer.first_draft_s is not None),
                default=None,
            ),
            trace_id=None if self._trace is None else self._trace.trace_id,
        )


class AnswerRecord:
    """How one answer of a call comes along."""

    def __init__(
        self, call: Call, trace: RequestTrace | None, metrics: Metrics | None = None
    ) -> None:
        self.call = call
        self.output_tokens = 0
        self.steps = 0
        """Of denoising."""
        self.ending: Ending | None = None
        self._trace = trace
        self._metrics = metrics
        self._canvas_length = 0
        self._first_draft_ns: int | None = None
        self._first_commit_ns: int | None = None
        self._last_commit_ns = call.accepted_ns

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
        accepted_ns = self.call.accepted_ns
        wall_s = max(self._last_commit_ns - accepted_ns, 1) / 1e9
        return Speeds(
            output_tokens_per_second=usage.output_tokens / wall_s,
            effective_tokens_per_second=usage.canvases * canvas_length / wall_s,
            steps_per_canvas=usage.denoising_steps / max(usage.canvases, 1),
            tokens_per_forward=usage.output_tokens / max(usage.denoising_steps, 1),
            time_to_first_draft_ns=self._since_acceptance(self._first_draft_ns),
            time_to_first_commit_ns=self._since_acceptance(self._first_commit_ns),
        )

    def _count(self, event: RequestEvent, metrics: Metrics) -> None:
        accepted_ns, trace = self.call.accepted_ns, exemplar(self._trace)
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
        return 0 if moment_ns is None else max(moment_ns - self.call.accepted_ns, 0)
