"""Metrics on their way to a collector: what stands at /metrics arrives there too."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest
from calls import REVERSE, asking, generate
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.sdk.resources import Resource
from otlp_receiver import attributes, receiving_metrics
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families
from server_process import Start

from palimpsest.server.config import wants_metrics
from palimpsest.server.otlp_metrics import MetricsSender, metrics_data


def test_a_collector_gets_what_prometheus_reads(start: Start) -> None:
    with receiving_metrics() as (receiver, endpoint):
        server = start(environment={"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint})
        usage = generate(server, asking(REVERSE)).usage
        families = {
            family.name: family
            for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)
            if not family.name.endswith("_created")
        }
        assert server.stop() == 0, server.log
    assert receiver.metrics.keys() == families.keys()
    (output,) = receiver.metrics["palimpsest_output_tokens"].sum.data_points
    assert output.as_double == usage.output_tokens
    (phase,) = (
        point
        for point in receiver.metrics["palimpsest_phase"].gauge.data_points
        if attributes(point)["phase"] == "draining"
    )
    assert phase.as_double == 1, "the last values are those of the end"
    (steps,) = receiver.metrics["palimpsest_steps_per_canvas"].histogram.data_points
    assert (steps.count, steps.sum) == (usage.canvases, usage.denoising_steps)


def test_buckets_count_only_what_is_in_them() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "", ["side"], buckets=(1.0, 2.0), registry=registry)
    for value in (0.5, 1.5, 1.6, 9.0):
        histogram.labels("left").observe(value)
    histogram.labels("right").observe(2.0)
    data = metrics_data(registry.collect(), Resource.get_empty(), began_ns=1, now_ns=2)
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    left, right = metric.data.data_points
    assert isinstance(left, HistogramDataPoint)
    assert isinstance(right, HistogramDataPoint)
    assert left.attributes == {"side": "left"}
    assert (left.bucket_counts, left.explicit_bounds) == ([1, 2, 1], [1.0, 2.0])
    assert (left.count, left.sum) == (4, 12.6)
    assert right.bucket_counts == [0, 1, 0]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, True),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, True),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, False),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_metrics_are_sent_where_that_was_asked_for(
    environment: Mapping[str, str], wanted: bool
) -> None:
    assert wants_metrics(environment) is wanted


def test_an_interval_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="OTEL_METRIC_EXPORT_INTERVAL: 'often' is not a number"):
        MetricsSender({"OTEL_METRIC_EXPORT_INTERVAL": "often"}, Resource.get_empty())
