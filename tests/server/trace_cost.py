"""What tracing costs, and a collector that is killed or never answers: `make trace-cost`.

A server of the bundled model for each way to trace, all in one run on one machine. They work one
after the other, a round after the other and each time in another order, and every round is compared
with the same round of the server that does not trace, so that what the machine does besides cancels
out. Every request has the same fixed steps. Prints a table, and JSON as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

from calls import asking, stream
from collector import Collector, collector
from server_process import ServerProcess, start_server

from palimpsest.v1 import canvas_pb2, sampling_pb2

PREVIEW = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA, max_rate_hz=1_000)
TICKS_PER_S = 100
"""Of the times in /proc."""
RESAMPLES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to trace."""

    name: str
    collector: str | None
    """Its kind; None: nothing is traced."""
    flags: tuple[str, ...] = ()
    sampler: str = "always_on"
    killed: bool = False
    """Whether the collector is killed in the middle of each round."""
    step_bar: float | None = None
    """A step may take so many times as long."""
    request_bar: float | None = None


WAYS = (
    Way(name="off", collector=None),
    Way(name="unsampled", collector="answering", sampler="always_off", step_bar=1.01),
    Way(name="canvas", collector="answering", flags=("--trace-detail", "canvas"), step_bar=1.02),
    Way(name="step", collector="answering", step_bar=1.05),
    Way(name="killed", collector="answering", killed=True, request_bar=1.05),
    Way(name="silent", collector="silent", request_bar=1.05),
)
"""The first is what the others are compared with, and with it the bar of 1 % for tracing that is
off holds by itself: it is how the server runs unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was measured in one."""

    step_ms: float
    """Median over all steps of all streams, on the engine's clock."""
    request_ms: tuple[float, ...]
    """Of every request, at the client."""
    server_cpu_s: float
    resident_mb: float
    """At the end."""

    @property
    def median_request_ms(self) -> float:
        return statistics.median(self.request_ms)

    @property
    def slowest_request_ms(self) -> float:
        return max(self.request_ms)


@dataclass(slots=True, kw_only=True)
class Subject:
    """A server under measurement."""

    way: Way
    server: ServerProcess
    collector: Collector | None
    rounds: list[Round] = field(default_factory=list)

    def run(self, args: argparse.Namespace, number: int) -> Round:
        """All streams at once, each with its requests one after the other."""
        cpu_s = _cpu_s(self.server.process.pid)
        steps_ms: list[float] = []
        with self._collecting(args), futures.ThreadPoolExecutor(args.streams) as pool:
            # by stream and not by chance: the rounds of all servers do the same work
            seeds = [number * args.streams + place for place in range(args.streams)]
            asked = [pool.submit(_requests, self.server, seed, args, steps_ms) for seed in seeds]
            request_ms = tuple(one for done in asked for one in done.result())
        return Round(
            step_ms=statistics.median(steps_ms),
            request_ms=request_ms,
            server_cpu_s=_cpu_s(self.server.process.pid) - cpu_s,
            resident_mb=_resident_mb(self.server.process.pid),
        )

    @contextlib.contextmanager
    def _collecting(self, args: argparse.Namespace) -> Iterator[None]:
        """With the collector there until half of the round is over, if it is to be killed."""
        if not self.way.killed:
            yield
            return
        assert self.collector is not None
        with collector("answering", self.collector.port) as living:
            half_s = self.rounds[-1].median_request_ms * args.requests / 2e3 if self.rounds else 1.0
            killing = threading.Timer(half_s, living.kill)
            killing.start()
            yield
            killing.join()


def _requests(
    server: ServerProcess, seed: int, args: argparse.Namespace, steps_ms: list[float]
) -> list[float]:
    """Milliseconds of each request of one stream; those of their steps are added to `steps_ms`."""
    sampling = sampling_pb2.SamplingParameters(
        seed=seed,
        max_denoising_steps=args.steps,
        confidence_threshold=0.0,
        max_output_tokens=64,
    )
    taken = []
    for _ in range(args.requests):
        began = time.perf_counter()
        for event in stream(server, asking("count from 1 to 40", sampling), PREVIEW):
            if event.HasField("snapshot"):
                steps_ms.append(event.snapshot.timing.step_micros / 1e3)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1_024


@contextlib.contextmanager
def subjects(ways: Sequence[Way]) -> Iterator[list[Subject]]:
    """A server for each, and its collector."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = []
        for way in ways:
            receiving, environment, flags = None, {}, way.flags
            if way.collector is not None:
                receiving = stack.enter_context(collector(way.collector))
                environment = {"OTEL_TRACES_SAMPLER": way.sampler}
                flags = (*flags, "--otlp-traces-endpoint", receiving.endpoint)
                if way.killed:
                    receiving.kill()
            server = start_server(folder / way.name, *flags, environment=environment)
            stack.callback(server.stop)
            made.append(Subject(way=way, server=server, collector=receiving))
        yield made


def ratio(of: Sequence[float], to: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean over rounds, and its 95 % interval by resampling rounds."""
    logs = [math.log(one / other) for one, other in zip(of, to, strict=True)]
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(logs, k=len(logs))) for _ in range(RESAMPLES))
    low, high = means[RESAMPLES // 40], means[-RESAMPLES // 40]
    return math.exp(statistics.fmean(logs)), math.exp(low), math.exp(high)


def verdict(found: Sequence[float], bar: float | None) -> str | None:
    """Whether the interval lies on one side of the bar."""
    if bar is None:
        return None
    _, low, high = found
    return "met" if high <= bar else "missed" if low > bar else "open"


def figures(subject: Subject, off: Subject) -> dict[str, object]:
    def compared(value: Callable[[Round], float]) -> list[float]:
        of, to = map(value, subject.rounds), map(value, off.rounds)
        return [round(part, 4) for part in ratio(list(of), list(to))]

    way, rounds = subject.way, subject.rounds
    step = compared(lambda one: one.step_ms)
    request = compared(lambda one: one.median_request_ms)
    requests = sum(len(one.request_ms) for one in rounds)
    return {
        "way": way.name,
        "step_ms": round(statistics.fmean(one.step_ms for one in rounds), 3),
        "step_ratio": step,
        "step_bar": way.step_bar,
        "step_verdict": verdict(step, way.step_bar),
        "request_ms": round(statistics.fmean(one.median_request_ms for one in rounds), 1),
        "request_ratio": request,
        "slowest_request_ratio": compared(lambda one: one.slowest_request_ms),
        "request_bar": way.request_bar,
        "request_verdict": verdict(request, way.request_bar),
        "server_cpu_ms_per_request": round(
            1e3 * sum(one.server_cpu_s for one in rounds) / requests, 2
        ),
        "resident_mb_first_and_last": [
            round(rounds[0].resident_mb, 1),
            round(rounds[-1].resident_mb, 1),
        ],
    }


def table(rows: Sequence[dict[str, object]]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, list) and len(value) == 3:
            return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"
        if isinstance(value, list):
            return " → ".join(map(str, value))
        return "" if value is None else str(value)

    lines = ["| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |"]
    lines.append("|" + "---|" * len(rows[0]))
    lines += ["| " + " | ".join(map(shown, row.values())) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=[way.name for way in WAYS[1:]])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2, help="of each stream in a round")
    parser.add_argument("--steps", type=int, default=16, help="of each request")
    args = parser.parse_args()
    ways = [way for way in WAYS if args.ways is None or way.name in ("off", *args.ways)]
    with subjects(ways) as measured:
        for subject in measured:
            subject.run(args, 0)  # warms it up
        for number in range(1, args.rounds + 1):
            for subject in _turned(measured, number):
                subject.rounds.append(subject.run(args, number))
            print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
        rows = [figures(subject, measured[0]) for subject in measured]
    print(table(rows))
    asked = {name: value for name, value in vars(args).items() if name != "ways"}
    print(json.dumps({**asked, "ways": rows}))


def _turned(measured: list[Subject], number: int) -> list[Subject]:
    """Each comes first as often as any other, and as often before as behind its neighbours."""
    first = number % len(measured)
    turned = measured[first:] + measured[:first]
    return turned[::-1] if number // len(measured) % 2 else turned


if __name__ == "__main__":
    main()
