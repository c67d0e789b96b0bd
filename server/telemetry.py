"""Where traces are sent: OpenTelemetry's standard environment variables, OTLP over gRPC.

Off unless asked for. Sending happens on a thread of its own; a dead collector delays nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

MAX_QUEUED_SPANS = 16_384
"""About twenty long answers; what comes on top is dropped. OTEL_BSP_MAX_QUEUE_SIZE overrules it."""


def resource() -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES overrule it."""
    told = Resource.create()
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return told.merge(Resource({SERVICE_NAME: "palimpsest"}))
    return told


class Telemetry:
    """A running exporter. `endpoint` overrules OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self, environment: Mapping[str, str], endpoint: str | None) -> None:
        queue = None if "OTEL_BSP_MAX_QUEUE_SIZE" in environment else MAX_QUEUED_SPANS
        self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=queue)
        )

    def tracer(self) -> Tracer:
        return self._provider.get_tracer("palimpsest")

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left, for at most `timeout_s` seconds."""
        # A thread that may be left behind: the exporter's own retries outlast any grace.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(timeout_s)
