"""What operators are given to watch the server: it asks for what the server tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from palimpsest.engine.api import PageCounts, Report
from palimpsest.server.engine_metrics import EngineCollector
from palimpsest.server.engine_state import Moment
from palimpsest.server.health import Phase
from palimpsest.server.metrics import Metrics

DEPLOY = Path(__file__).parent.parent / "deploy"
NAME = re.compile(r"palimpsest_\w+")
SUFFIXES = ("", "_bucket", "_sum", "_count")


class Still:
    """An engine that stands still, on a GPU."""

    def now(self) -> Moment:
        report = Report(
            time_ns=0,
            running=0,
            waiting=0,
            passes=0,
            last_pass_ns=0,
            last_batch_size=0,
            steps=0,
            output_tokens=0,
            canvas_tokens=0,
            preempted=0,
            pages=(PageCounts(window=None, held=0, kept=0, total=1, evicted=0),),
            memory_bytes=1,
        )
        return Moment(
            time_ns=0,
            phase=Phase.SERVING,
            model="",
            restarts=0,
            ready_ns=0,
            report=report,
            in_flight=(),
        )


@pytest.fixture(scope="module")
def told() -> set[str]:
    """Every name that can stand at /metrics."""
    metrics = Metrics()
    metrics.registry.register(EngineCollector(Still()))  # type: ignore[arg-type] # as much as is read
    names = set()
    for family in metrics.registry.collect():
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}{suffix}" for suffix in SUFFIXES[1:]}
        else:
            names.add(family.name)
    return names


def alerts() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]:
        yield from group["rules"]


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana/dashboards/palimpsest.json").read_text())


def test_alerts_ask_for_what_is_told(told: set[str]) -> None:
    for alert in alerts():
        assert set(NAME.findall(alert["expr"])) <= told, alert["alert"]


def test_panels_ask_for_what_is_told(told: set[str]) -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            assert set(NAME.findall(target["expr"])) <= told, panel["title"]


def test_every_metric_has_a_panel(told: set[str]) -> None:
    asked = {
        name
        for panel in dashboard()["panels"]
        for target in panel["targets"]
        for name in NAME.findall(target["expr"])
    }
    left = {name for name in told - asked if not name.endswith(SUFFIXES[1:])}
    # one is an alert's, the other is seen better as canvases in a pass
    assert left == {"palimpsest_phase", "palimpsest_last_batch_size"}


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_what_the_containers_are_given_is_there() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        for volume in service.get("volumes", ()):
            assert (DEPLOY / volume.split(":")[0]).exists(), volume


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_its_files() -> None:
    for check, file in (("config", "prometheus.yaml"), ("rules", "alerts.yaml")):
        command = ["promtool", "check", check, str(DEPLOY / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
