"""What tracing costs, and a collector that is killed or never answers: `make trace-cost`.

Servers of the bundled model, all on one machine. One process of a server is up to some percent
faster than another of its kind for as long as it lives, so each way to trace is compared with
requests to the *same* process that take the path of a server that does not trace; both kinds take
turns. What that leaves out is a thread of the exporter that has nothing to send, and wakes up every
few seconds. Every request has the same fixed steps. Prints a table, and JSON as the last line.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import choosing_server
from calls import COUNT, asking
from collector import Collector, collector
from server_process import ServerProcess, start_server

from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

PREVIEW = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA, max_rate_hz=1_000)
RESAMPLES = 4_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to trace."""

    name: str
    collector: str = "answering"
    """Its kind."""
    flags: tuple[str, ...] = ()
    sampler: str = "parentbased_always_on"
    killed: bool = False
    """Whether the collector is killed in the middle of each round."""
    step_bar: float | None = None
    """A step may take so many times as long."""
    request_bar: float | None = None


WAYS = (
    Way(name="unsampled", sampler="always_off", step_bar=1.01),
    Way(name="canvas", flags=("--trace-detail", "canvas"), step_bar=1.02),
    Way(name="step", step_bar=1.05),
    Way(name="killed", killed=True, request_bar=1.05),
    Way(name="silent", collector="silent", request_bar=1.05),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was measured of one kind of requests, all streams at once."""

    step_ms: float
    """Median over all steps of all streams, on the engine's clock."""
    request_ms: tuple[float, ...]
    """Of every request, at the client."""
    seconds: float
    server_cpu_s: float
    resident_mb: float
    """At the end."""

    @property
    def median_request_ms(self) -> float:
        return statistics.median(self.request_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Rounds of the same work, with tracing and without."""

    traced: Round
    plain: Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A server under measurement."""

    way: Way
    server: ServerProcess
    collector: Collector

    def run(self, args: argparse.Namespace, number: int, *, traced: bool) -> Round:
        """All streams at once, each with its requests one after the other."""
        cpu_s, began = _cpu_s(self.server.process.pid), time.perf_counter()
        steps_ms: list[float] = []
        with futures.ThreadPoolExecutor(args.streams) as pool:
            # by stream and not by chance: both rounds of a pair do the same work
            seeds = [number * args.streams + place for place in range(args.streams)]
            asked = [
                pool.submit(_requests, self.server, seed, traced, args, steps_ms) for seed in seeds
            ]
            request_ms = tuple(one for done in asked for one in done.result())
        return Round(
            step_ms=statistics.median(steps_ms),
            request_ms=request_ms,
            seconds=time.perf_counter() - began,
            server_cpu_s=_cpu_s(self.server.process.pid) - cpu_s,
            resident_mb=_resident_mb(self.server.process.pid),
        )

    @contextlib.contextmanager
    def collecting(self, expected_s: float) -> Iterator[None]:
        """With the collector there for the first half of the time, if it is to be killed."""
        if not self.way.killed:
            yield
            return
        with collector("answering", self.collector.port) as living:
            killing = threading.Timer(expected_s / 2, living.kill)
            killing.start()
            yield
            killing.join()


def _requests(
    server: ServerProcess,
    seed: int,
    traced: bool,
    args: argparse.Namespace,
    steps_ms: list[float],
) -> list[float]:
    """Milliseconds of each request of one stream; those of their steps are added to `steps_ms`."""
    sampling = sampling_pb2.SamplingParameters(
        seed=seed,
        max_denoising_steps=args.steps,
        confidence_threshold=0.0,
        max_output_tokens=64,
    )
    asked = generation_pb2.StreamGenerateRequest(input=asking(COUNT, sampling), preview=PREVIEW)
    taken = []
    for number in range(args.requests):
        trace = ("traceparent", f"00-{seed + 1:032x}-{number + 1:016x}-01")
        metadata = (trace,) if traced else (trace, (choosing_server.UNTRACED, "1"))
        began = time.perf_counter()
        for event in server.stub.StreamGenerate(asked, metadata=metadata):
            if event.HasField("snapshot"):
                steps_ms.append(event.snapshot.timing.step_micros / 1e3)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _cpu_s(pid: int) -> float:
    """Of all threads, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1_024


@contextlib.contextmanager
def launched(args: argparse.Namespace, way: Way) -> Iterator[Subject]:
    """A warm server, and its collector."""
    with collector(way.collector) as receiving, tempfile.NamedTemporaryFile() as log:
        server = start_server(
            Path(log.name),
            *("--otlp-traces-endpoint", receiving.endpoint, *way.flags),
            environment={"OTEL_TRACES_SAMPLER": way.sampler},
            program=choosing_server.PROGRAM,
        )
        if way.killed:
            receiving.kill()
        subject = Subject(way=way, server=server, collector=receiving)
        try:
            subject.run(args, 0, traced=True)
            yield subject
        finally:
            server.stop()


def measured(args: argparse.Namespace, way: Way) -> Iterator[Pair]:
    """One server, whose requests are traced in every other round."""
    with launched(args, way) as subject:
        expected_s = 1.0
        for number in range(1, args.rounds + 1):
            rounds: dict[bool, Round] = {}
            for traced in _in_turn([True, False], number):
                with subject.collecting(expected_s) if traced else contextlib.nullcontext():
                    rounds[traced] = subject.run(args, number, traced=traced)
            expected_s = rounds[False].median_request_ms * args.requests / 1e3
            yield Pair(traced=rounds[True], plain=rounds[False])
            _tell(f"{way.name}, round {number} of {args.rounds}")


def _in_turn(both: list[T], number: int) -> list[T]:
    return both if number % 2 else both[::-1]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ratio(pairs: Sequence[Pair], value: Callable[[Round], float]) -> list[float]:
    """Geometric mean over pairs, and its 95 % interval by resampling them."""
    logs = [math.log(value(pair.traced) / value(pair.plain)) for pair in pairs]
    return [round(math.exp(one), 4) for one in _interval(logs)]


def verdict(found: Sequence[float], bar: float | None) -> str | None:
    """Whether the interval lies on one side of the bar."""
    if bar is None:
        return None
    _, low, high = found
    return "met" if high <= bar else "missed" if low > bar else "open"


def figures(way: Way, pairs: Sequence[Pair]) -> dict[str, object]:
    step = ratio(pairs, lambda one: one.step_ms)
    request = ratio(pairs, lambda one: one.median_request_ms)
    return {
        "way": way.name,
        "pairs": len(pairs),
        "step_ms": round(statistics.fmean(pair.traced.step_ms for pair in pairs), 3),
        "step_ratio": step,
        "step_bar": way.step_bar,
        "step_verdict": verdict(step, way.step_bar),
        "request_ms": round(statistics.fmean(pair.traced.median_request_ms for pair in pairs), 1),
        "request_ratio": request,
        "slowest_request_ratio": ratio(pairs, lambda one: max(one.request_ms)),
        "request_bar": way.request_bar,
        "request_verdict": verdict(request, way.request_bar),
        "server_cpu_ms_per_request": [
            _cpu_ms([pair.plain for pair in pairs]),
            _cpu_ms([pair.traced for pair in pairs]),
        ],
        "added_share_of_a_core": _added_share(pairs),
        "resident_mb_first_and_last": [
            round(pairs[0].traced.resident_mb, 1),
            round(pairs[-1].traced.resident_mb, 1),
        ],
    }


def _added_share(pairs: Sequence[Pair]) -> list[float]:
    """What tracing takes of the server's time, and its 95 % interval over pairs."""
    shares = [
        (pair.traced.server_cpu_s - pair.plain.server_cpu_s) / pair.plain.seconds for pair in pairs
    ]
    return [round(one, 5) for one in _interval(shares)]


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and between what means of resampled values lie in 95 of 100 cases."""
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return statistics.fmean(values), means[RESAMPLES // 40], means[-RESAMPLES // 40]


def _cpu_ms(rounds: Sequence[Round]) -> float:
    requests = sum(len(one.request_ms) for one in rounds)
    return round(1e3 * sum(one.server_cpu_s for one in rounds) / requests, 2)


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
    names = [way.name for way in WAYS]
    parser.add_argument("--ways", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=12, help="of each way, in pairs")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2, help="of each stream in a round")
    parser.add_argument("--steps", type=int, default=16, help="of each request")
    args = parser.parse_args()
    rows = [figures(way, list(measured(args, way))) for way in WAYS if way.name in args.ways]
    print(table(rows))
    print(json.dumps({**vars(args), "ways": rows}))


if __name__ == "__main__":
    main()
