"""One call from acceptance to its status: its id, clock, counts, log line and trace.

Prompts and answers are never logged. Knows no wire format.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from palimpsest.engine.api import ModelInfo
from palimpsest.server.answer_record import AnswerRecord
from palimpsest.server.keys import Unauthenticated
from palimpsest.server.logs import figures
from palimpsest.server.metrics import Metrics, exemplar
from palimpsest.server.tracing import RequestTrace

log = logging.getLogger(__name__)

GRACE_S = 1.0
"""After its deadline, in which a call can end by itself. Then it is cut off: its caller does not
read."""


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
        record = AnswerRecord(
            request_id=self.request_id,
            accepted_ns=self.accepted_ns,
            trace=self._trace,
            metrics=self._metrics,
        )
        self._answers.append(record)
        return record

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
