"""A server of the bundled model whose spans go to a receiver in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from calls import REVERSE, asking
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import Receiver
from server_process import ServerProcess

from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
MAX_REQUEST_S = 5.0
ENDLESS = sampling_pb2.SamplingParameters(
    seed=7, max_denoising_steps=1_000, confidence_threshold=0.0
)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A server, which ends requests after `MAX_REQUEST_S`, and where its spans go."""

    server: ServerProcess
    receiver: Receiver

    def stream(
        self,
        request_id: str,
        sampling: sampling_pb2.SamplingParameters | None = None,
        *,
        prompt: str = REVERSE,
        canvas_length: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        asked = asking(prompt, sampling)
        asked.request_id = request_id
        if canvas_length is not None:
            asked.canvas.canvas_length = canvas_length
        request = generation_pb2.StreamGenerateRequest(
            input=asked,
            preview=canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA),
        )
        return self.server.stub.StreamGenerate(
            request, timeout=timeout, metadata=(("traceparent", TRACEPARENT),)
        )


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def times_ns(span: Span) -> tuple[int, int]:
    return span.start_time_unix_nano, span.end_time_unix_nano


def duration_ns(span: Span) -> int:
    return span.end_time_unix_nano - span.start_time_unix_nano
