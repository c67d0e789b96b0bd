"""What stands at /metrics, sent to a collector by OTLP over gRPC: the same names and values.

Counts are since the start, whatever OpenTelemetry's variables prefer, and exemplars are not sent.
Sending happens on a thread of its own; a dead collector delays nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
DEFAULT_INTERVAL_MS = 60_000
CUMULATIVE = AggregationTemporality.CUMULATIVE

Labels = tuple[tuple[str, str], ...]


class Times(TypedDict):
    """Of every point, as OpenTelemetry calls them."""

    start_time_unix_nano: int
    time_unix_nano: int


class MetricsSender:
    """Sends now and then, and once more at the end."""

    def __init__(self, environment: Mapping[str, str], resource: Resource) -> None:
        """Raises ValueError for an interval that is none."""
        self._interval_s = _interval_s(environment)
        self._resource = resource
        self._exporter = OTLPMetricExporter()
        self._began_ns = time.time_ns()
        self._registry: CollectorRegistry | None = None
        self._sending: threading.Thread | None = None

    async def run(self, registry: CollectorRegistry) -> None:
        """Until it is cancelled. `registry` is read on the event loop, where it is told."""
        self._registry = registry
        while True:
            await asyncio.sleep(self._interval_s)
            # a collector that does not answer gets no second helping
            if self._sending is None or not self._sending.is_alive():
                self._sending = self._send(registry)

    def shutdown(self, timeout_s: float) -> None:
        """Send the last values, for at most `timeout_s` seconds."""
        if self._registry is not None:
            self._send(self._registry).join(timeout_s)
        self._exporter.shutdown()

    def _send(self, registry: CollectorRegistry) -> threading.Thread:
        data = metrics_data(
            registry.collect(), self._resource, began_ns=self._began_ns, now_ns=time.time_ns()
        )
        thread = threading.Thread(target=self._exporter.export, args=(data,), daemon=True)
        thread.start()
        return thread


def metrics_data(
    families: Iterable[Family], resource: Resource, *, began_ns: int, now_ns: int
) -> MetricsData:
    """Prometheus' families as OpenTelemetry's metrics, counted from `began_ns` to `now_ns`."""
    times = Times(start_time_unix_nano=began_ns, time_unix_nano=now_ns)
    metrics = [
        Metric(
            name=family.name, description=family.documentation, unit="", data=_data(family, times)
        )
        for family in families
    ]
    scope = ScopeMetrics(InstrumentationScope("palimpsest"), metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource, [scope], schema_url="")])


def _data(family: Family, times: Times) -> Sum | Gauge | Histogram:
    if family.type == "histogram":
        return Histogram(list(_histograms(family.samples, times)), CUMULATIVE)
    values = (sample for sample in family.samples if not sample.name.endswith("_created"))
    points = [
        NumberDataPoint(attributes=sample.labels, value=sample.value, **times) for sample in values
    ]
    if family.type == "counter":
        return Sum(points, CUMULATIVE, is_monotonic=True)
    return Gauge(points)


def _histograms(samples: Iterable[Sample], times: Times) -> Iterator[HistogramDataPoint]:
    """One for each set of labels. Prometheus' buckets count what is in those below, too."""
    bounds: defaultdict[Labels, list[float]] = defaultdict(list)
    counts: defaultdict[Labels, list[float]] = defaultdict(list)
    sums: dict[Labels, float] = {}
    for sample in samples:
        labels = tuple((name, text) for name, text in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            bounds[labels].append(float(sample.labels["le"]))
            counts[labels].append(sample.value)
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, upto in counts.items():
        below = [0.0, *upto[:-1]]
        yield HistogramDataPoint(
            attributes=dict(labels),
            count=int(upto[-1]),
            sum=sums[labels],
            bucket_counts=[int(to - less) for to, less in zip(upto, below, strict=True)],
            explicit_bounds=bounds[labels][:-1],  # the last one is infinite
            min=None,  # type: ignore[arg-type] # the protocol has it optional
            max=None,  # type: ignore[arg-type]
            **times,
        )


def _interval_s(environment: Mapping[str, str]) -> float:
    text = environment.get(INTERVAL_VARIABLE) or str(DEFAULT_INTERVAL_MS)
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{INTERVAL_VARIABLE}: {text!r} is not a number of milliseconds above 0")
    return int(text) / 1e3
