"""One call from acceptance to its status: its id, clock, counts, log line and trace.

Prompts and answers are never logged. Knows no wire format.
"""

from __future__ import annotations

import asyncio
import logging
import time

from palimpsest.engine.api import Committed, ModelInfo, RequestEvent, Stepped, Usage
from palimpsest.server.exchange import Speeds
from palimpsest.server.tracing import RequestTrace

log = logging.getLogger(__name__)


class Call:
    """Made when a call is accepted; `end` is called exactly once, with its status."""

    def __init__(
        self, *, method: str, request_id: str, time_limit_s: float, trace: RequestTrace | None
    ) -> None:
        """`time_limit_s` is the caller's deadline or the server's own, in seconds from now."""
        self.method = method
        self.request_id = request_id
        self.accepted_ns = time.time_ns()
        self.deadline_s = asyncio.get_running_loop().time() + time_limit_s
        """When the call has to end, on the event loop's clock."""
        self._trace = trace
        self._prompt_tokens = 0
        self._output_tokens = 0
        self._first_draft_ns: int | None = None
        self._first_commit_ns: int | None = None
        self._last_commit_ns = self.accepted_ns
        if trace is not None:
            trace.begin(method=method, request_id=request_id, start_ns=self.accepted_ns)

    def describe(self, *, operation: str, model: ModelInfo, prompt_tokens: int) -> None:
        """Say what the call is about, as soon as that is known."""
        self._prompt_tokens = prompt_tokens
        if self._trace is not None:
            self._trace.describe(operation=operation, model=model, prompt_tokens=prompt_tokens)

    def observe(self, event: RequestEvent) -> None:
        """Take note of an event of the engine, delivered to the caller or not."""
        if isinstance(event, Stepped) and self._first_draft_ns is None:
            self._first_draft_ns = event.end_ns
        elif isinstance(event, Committed):
            self._output_tokens += len(event.token_ids)
            self._last_commit_ns = event.end_ns
            if self._first_commit_ns is None:
                self._first_commit_ns = event.end_ns
        if self._trace is not None:
            self._trace.observe(event)

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

    def _since_acceptance(self, moment_ns: int | None) -> int:
        return 0 if moment_ns is None else max(moment_ns - self.accepted_ns, 0)

    def end(self, status: str) -> None:
        """Write the log line and close the trace. `status` is a gRPC status name, such as `OK`."""
        end_ns = time.time_ns()
        log.info(
            "%s request_id=%s status=%s prompt_tokens=%d output_tokens=%d seconds=%.3f",
            self.method,
            self.request_id,
            status,
            self._prompt_tokens,
            self._output_tokens,
            (end_ns - self.accepted_ns) / 1e9,
        )
        if self._trace is not None:
            self._trace.end(status=status, end_ns=end_ns)
