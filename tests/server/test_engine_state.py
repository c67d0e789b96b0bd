"""Watching the engine: what it says of itself, the canvases in flight, speeds between reports."""

from __future__ import annotations

import itertools

import grpc
import pytest
from calls import NEVER_CONVERGES, REVERSE, asking, details_of, generate
from google.protobuf.duration_pb2 import Duration
from server_process import ServerProcess, Start

from palimpsest import Client
from palimpsest.engine.api import PageCounts, Report
from palimpsest.server.engine_state import Moment, state_message
from palimpsest.server.health import Phase
from palimpsest.v1 import engine_state_pb2, generation_pb2

SECOND = 10**9


def watching(**fields: object) -> engine_state_pb2.WatchEngineRequest:
    return engine_state_pb2.WatchEngineRequest(interval=Duration(nanos=20_000_000), **fields)  # type: ignore[arg-type]


def moment(at_s: float, report: Report | None, *, ready_s: float = 0.0) -> Moment:
    return Moment(
        time_ns=int(at_s * SECOND),
        phase=Phase.SERVING,
        model="m",
        restarts=0,
        ready_ns=int(ready_s * SECOND),
        report=report,
        in_flight=(),
    )


def report(passes: int, steps: int, tokens: int) -> Report:
    return Report(
        time_ns=0,
        running=2,
        waiting=3,
        passes=passes,
        last_pass_ns=5_000_000,
        last_batch_size=4,
        steps=steps,
        output_tokens=tokens,
        canvas_tokens=2 * tokens,
        preempted=0,
        pages=(
            PageCounts(window=None, held=1, kept=9, total=100, evicted=0),
            PageCounts(window=64, held=2, kept=9, total=20, evicted=0),
        ),
        memory_bytes=None,
    )


def test_a_running_canvas_is_seen_and_gone_when_it_is_over(server: ServerProcess) -> None:
    asked = asking(REVERSE, NEVER_CONVERGES)
    asked.request_id = "watched"
    call = server.stub.StreamGenerate(generation_pb2.StreamGenerateRequest(input=asked))
    states = server.stub.WatchEngine(watching(include_canvases=True))
    busy = next(each.state for each in states if each.state.canvases)
    [canvas] = busy.canvases
    assert (canvas.request_id, canvas.canvas_index, canvas.max_denoising_steps) == (
        "watched",
        0,
        1_000,
    )
    assert canvas.step >= 1
    assert (busy.running_requests, busy.waiting_requests) == (1, 0)
    assert 0 < busy.used_pages < busy.total_pages
    assert (busy.last_batch_size, busy.page_tokens) == (1, 64)
    call.cancel()
    idle = next(each.state for each in states if not each.state.running_requests)
    assert not idle.canvases
    assert idle.used_pages == 0
    states.cancel()


def test_work_is_counted_up(server: ServerProcess) -> None:
    def now() -> engine_state_pb2.EngineState:
        states = server.stub.WatchEngine(watching())
        state = next(states).state
        states.cancel()
        return state

    before = now()
    steps = generate(server, asking(REVERSE)).usage.denoising_steps
    after = now()
    assert after.steps - before.steps >= steps
    assert (after.model, after.phase) == ("palimpsest-tiny", engine_state_pb2.ENGINE_PHASE_SERVING)
    assert after.restarts == before.restarts
    assert not after.HasField("used_memory_bytes")


def test_reports_come_at_once_and_until_the_deadline(server: ServerProcess) -> None:
    states = server.stub.WatchEngine(watching(), timeout=20)
    times = [each.state.observe_time.ToNanoseconds() for each in itertools.islice(states, 3)]
    states.cancel()
    assert all(later - sooner >= 20_000_000 for sooner, later in itertools.pairwise(times))
    slow = engine_state_pb2.WatchEngineRequest(interval=Duration(seconds=60))
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.WatchEngine(slow, timeout=0.5))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_time_that_a_server_gives_ends_a_watch_and_the_client_watches_on(start: Start) -> None:
    server = start("--max-request-seconds", "0.2")
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.WatchEngine(watching()))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with Client(server.address) as client, client.watch_engine(interval_s=0.02) as states:
        times = [state.observed_s for state in itertools.islice(states, 25)]
    assert times == sorted(times)
    assert times[-1] - times[0] > 0.2


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        (Duration(nanos=19_000_000), "0.019"),
        (Duration(seconds=61), "61.0"),
        (Duration(seconds=-1), "-1.0"),
    ],
)
def test_an_interval_out_of_bounds_is_refused(
    server: ServerProcess, interval: Duration, shown: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.WatchEngine(engine_state_pb2.WatchEngineRequest(interval=interval)))
    message = details_of(caught.value).message
    assert message == f"interval: {shown} s is outside 0.02 to 60.0 s"


def test_another_model_is_not_watched(server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError, match="is not served here") as caught:
        list(server.stub.WatchEngine(watching(model="other")))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_speeds_are_of_the_time_between_two_reports() -> None:
    first, second = moment(10.0, report(100, 150, 1_000)), moment(12.0, report(110, 190, 1_500))
    speeds = state_message(second, first, canvases=False).speeds
    assert speeds.output_tokens_per_second == 250.0
    assert speeds.effective_tokens_per_second == 500.0
    assert (speeds.steps_per_second, speeds.canvases_per_step) == (5.0, 4.0)


def test_the_first_report_tells_speeds_since_the_start() -> None:
    speeds = state_message(
        moment(10.0, report(100, 150, 800), ready_s=2.0), None, canvases=False
    ).speeds
    assert (speeds.output_tokens_per_second, speeds.canvases_per_step) == (100.0, 1.5)


def test_an_engine_that_was_started_again_counts_from_its_start() -> None:
    before = moment(10.0, report(1_000, 1_000, 1_000))
    after = moment(12.0, report(10, 10, 10), ready_s=11.0)
    assert state_message(after, before, canvases=False).speeds.steps_per_second == 10.0


def test_an_engine_that_has_done_nothing_has_a_state() -> None:
    state = state_message(moment(1.0, None), None, canvases=True)
    assert (state.running_requests, state.total_pages, state.HasField("speeds")) == (0, 0, False)


def test_pages_are_those_of_all_kinds_of_layers() -> None:
    state = state_message(moment(1.0, report(1, 1, 1)), None, canvases=False)
    assert (state.used_pages, state.total_pages) == (3, 120)
