"""The engine's own figures for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from palimpsest.engine.api import PageCounts, Report
from palimpsest.server.engine_state import EngineWatch
from palimpsest.server.health import Phase


class EngineCollector(Collector):
    """What an engine that is watched says of itself."""

    def __init__(self, watch: EngineWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        moment = self._watch.now()
        yield _counter("engine_restarts", "Times the engine was started again.", moment.restarts)
        up = GaugeMetricFamily(
            "palimpsest_phase", "1 for where the server is in its life.", labels=["phase"]
        )
        for phase in Phase:
            up.add_metric([phase.value], float(phase is moment.phase))
        yield up
        if moment.report is not None:
            yield from _of_report(moment.report)


def _of_report(report: Report) -> Iterator[Metric]:
    yield _gauge("running_requests", "Requests that run.", report.running)
    yield _gauge("waiting_requests", "Requests that wait for their turn.", report.waiting)
    yield _gauge("last_batch_size", "Canvases in the last pass.", report.last_batch_size)
    yield _counter("passes", "Passes of the network.", report.passes)
    yield _counter("denoising_steps", "Denoising steps of canvases.", report.steps)
    yield _counter("canvas_tokens", "Tokens of final canvases, with padding.", report.canvas_tokens)
    yield _counter("preemptions", "Requests that had to give pages back.", report.preempted)
    if report.memory_bytes is not None:
        yield _gauge("device_memory_bytes", "Device memory taken.", report.memory_bytes)
    pages = GaugeMetricFamily(
        "palimpsest_pages", "Cache pages by kind of layer and use.", labels=["window", "use"]
    )
    evicted = CounterMetricFamily(
        "palimpsest_evicted_pages", "Kept pages given to others.", labels=["window"]
    )
    for counts in report.pages:
        window = "all" if counts.window is None else str(counts.window)
        for use, count in _uses(counts).items():
            pages.add_metric([window, use], count)
        evicted.add_metric([window], counts.evicted)
    yield from (pages, evicted)


def _uses(counts: PageCounts) -> dict[str, int]:
    free = counts.total - counts.held - counts.kept
    return {"held": counts.held, "kept": counts.kept, "free": free}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"palimpsest_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"palimpsest_{name}", text, value)
