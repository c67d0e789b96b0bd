"""What operators count, for Prometheus: calls, answers, and denoising steps.

Durations are seconds. Labels have few values, whatever callers send.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

from palimpsest.engine.api import Usage
from palimpsest.server.tracing import RequestTrace

WAITING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STEPPING = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 4.0)
STEPS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
TOKENS_A_STEP = (0.5, 1, 2, 4, 8, 12, 16, 24, 32, 64)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Exemplar = dict[str, str] | None
"""The trace that a value is of."""


class Metrics:
    """All of them; made once, and told what happens."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        """For what is read rather than told."""

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"palimpsest_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"palimpsest_{name}", text, labels, buckets=buckets, registry=registry)

        self._calls = counter("calls", "Calls that ended, by gRPC status.", "method", "status")
        self._call_s = histogram("call_seconds", "From acceptance to the end.", WAITING, "method")
        self._queue_s = histogram("queue_seconds", "From acceptance to the prefill.", WAITING)
        self._prefill_s = histogram("prefill_seconds", "Of the pass over the prompt.", WAITING)
        self._draft_s = histogram(
            "time_to_first_draft_seconds", "From acceptance to the first step's end.", WAITING
        )
        self._commit_s = histogram(
            "time_to_first_commit_seconds", "From acceptance to the first commit.", WAITING
        )
        self._step_s = histogram(
            "denoising_step_seconds",
            "Of a denoising step, once for each canvas in it, by canvases in it at most.",
            STEPPING,
            "canvases",
        )
        self._device_s = histogram(
            "device_step_seconds",
            "Of the device in a denoising step, once for each canvas in it; GPUs alone.",
            STEPPING,
        )
        self._accepted = histogram(
            "accepted_share", "Share of a canvas's positions accepted in a step.", SHARES
        )
        self._steps = histogram("steps_per_canvas", "Denoising steps of a canvas.", STEPS)
        self._per_forward = histogram(
            "tokens_per_forward", "Tokens of an answer per denoising step.", TOKENS_A_STEP
        )
        self._canvases = counter("canvases", "Canvases that are final.", "converged")
        for converged in ("yes", "no"):
            # there from the start, so that shares can be told of what has not happened yet
            self._canvases.labels(converged)
        self._output = counter("output_tokens", "Tokens of answers.")
        self._prompt = counter("prompt_tokens", "Tokens of prompts.", "cached")
        self._drafts = counter("drafts", "Drafts on offer to callers who want them.", "fate")

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All values in the format that `accept`, a header, asks for; and that format's type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def called(self, method: str, status: str, seconds: float, trace: Exemplar) -> None:
        """A call has ended."""
        self._calls.labels(method, status).inc()
        self._call_s.labels(method).observe(seconds, trace)

    def prefilled(self, *, queue_s: float, prefill_s: float, tokens: int, cached: int) -> None:
        """A prompt was read."""
        self._queue_s.observe(queue_s)
        self._prefill_s.observe(prefill_s)
        self._prompt.labels("no").inc(tokens)
        self._prompt.labels("yes").inc(cached)

    def stepped(
        self, *, seconds: float, batch_size: int, accepted_share: float, device_s: float | None
    ) -> None:
        """A canvas has taken a step; `device_s` of it on the device, where that was measured."""
        self._step_s.labels(_bucket(batch_size)).observe(seconds)
        self._accepted.observe(accepted_share)
        if device_s is not None:
            self._device_s.observe(device_s)

    def committed(self, *, steps: int, converged: bool, tokens: int) -> None:
        """A canvas is final."""
        self._steps.observe(steps)
        self._canvases.labels("yes" if converged else "no").inc()
        self._output.inc(tokens)

    def first_draft(self, seconds: float, trace: Exemplar) -> None:
        self._draft_s.observe(seconds, trace)

    def first_commit(self, seconds: float, trace: Exemplar) -> None:
        self._commit_s.observe(seconds, trace)

    def finished(self, usage: Usage) -> None:
        """An answer is whole."""
        self._per_forward.observe(usage.output_tokens / max(usage.denoising_steps, 1))

    def told(self, *, sent: int, skipped: int) -> None:
        """Drafts that an answer's reader got, and that newer ones replaced."""
        self._drafts.labels("sent").inc(sent)
        self._drafts.labels("skipped").inc(skipped)


def exemplar(trace: RequestTrace | None) -> Exemplar:
    """What leads from a value to the trace that it is of."""
    trace_id = None if trace is None else trace.trace_id
    return None if trace_id is None else {"trace_id": trace_id}


def _bucket(batch_size: int) -> str:
    """The power of two that is not below."""
    return str(1 << (batch_size - 1).bit_length())
