"""A real OTLP receiver that keeps the spans it is sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from palimpsest.server import span_names as names

WAIT_S = 60.0


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self._arrived = threading.Condition()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._arrived:
            for resource_spans in request.resource_spans:
                self.services |= {
                    attribute.value.string_value
                    for attribute in resource_spans.resource.attributes
                    if attribute.key == "service.name"
                }
                for scope_spans in resource_spans.scope_spans:
                    self.spans += scope_spans.spans
            self._arrived.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def request_span(self, request_id: str) -> Span:
        """The root span of a request, once it has arrived."""
        return self.wait_for(
            lambda span: attributes(span).get(names.GEN_AI_RESPONSE_ID) == request_id
        )

    def wait_for(self, wanted: Callable[[Span], bool]) -> Span:
        """The first such span, once it has arrived."""

        def found() -> list[Span]:
            return [span for span in self.spans if wanted(span)]

        with self._arrived:
            assert self._arrived.wait_for(found, WAIT_S)
            return found()[0]

    def by_id(self, span_id: bytes) -> Span:
        """Once it has arrived."""
        return self.wait_for(lambda span: span.span_id == span_id)

    def children(self, parent: Span) -> list[Span]:
        """In order of their start; those of an ended request have all arrived with it or before."""
        with self._arrived:
            spans = [span for span in self.spans if span.parent_span_id == parent.span_id]
        return sorted(spans, key=lambda span: span.start_time_unix_nano)


class MetricsReceiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the newest of every metric it is sent."""

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {}

    def Export(
        self,
        request: metrics_service_pb2.ExportMetricsServiceRequest,
        context: grpc.ServicerContext,
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        for resource_metrics in request.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope_metrics.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


def attributes(span: Span | NumberDataPoint | HistogramDataPoint) -> dict[str, Any]:
    values = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        assert kind is not None
        values[attribute.key] = getattr(attribute.value, kind)
    return values


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[tuple[Receiver, str]]:
    """A receiver and the endpoint to send to; 0 picks a free port."""
    receiver = Receiver()
    with _listening(
        lambda server: trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server),
        port,
    ) as endpoint:
        yield receiver, endpoint


@contextlib.contextmanager
def receiving_metrics() -> Iterator[tuple[MetricsReceiver, str]]:
    """The same for metrics."""
    receiver = MetricsReceiver()
    add = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
    with _listening(lambda server: add(receiver, server), 0) as endpoint:
        yield receiver, endpoint


@contextlib.contextmanager
def _listening(add: Callable[[grpc.Server], None], port: int) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add(server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
