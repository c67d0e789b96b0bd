"""`palimpsest top`: what it draws of an engine, and what programs read."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from palimpsest import AsyncClient, Client
from palimpsest.cli import EXIT_BAD_INPUT, EXIT_TROUBLE, main
from palimpsest.top import picture
from palimpsest.watching import CanvasInFlight, EngineState

CANVAS = CanvasInFlight(
    request_id="mine",
    candidate_index=0,
    canvas_index=2,
    step=12,
    max_denoising_steps=48,
    accepted_count=31,
    mean_entropy=0.75,
)
STATE = EngineState(
    observed_s=0.0,
    model="palimpsest-tiny",
    phase="serving",
    restarts=0,
    running_requests=3,
    waiting_requests=2,
    steps=100,
    last_step_s=0.0131,
    last_batch_size=3,
    used_pages=25,
    total_pages=100,
    page_tokens=64,
    used_memory_bytes=None,
    output_tokens_per_second=1234.4,
    effective_tokens_per_second=2000.0,
    steps_per_second=70.0,
    canvases_per_step=2.5,
    canvases=(CANVAS,),
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], server_address: str) -> Run:
    """The command line against the shared server: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["top", "--address", server_address, *arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def drawn(state: EngineState, *, width: int = 100, height: int = 24) -> list[str]:
    return [row.plain for row in picture(state, [1.0, 2.0], width, height)]


def test_it_draws_the_engine_and_every_canvas() -> None:
    engine, work, cache, speeds, _, canvas = drawn(STATE)
    assert engine == "palimpsest-tiny  serving"
    assert "running 3" in work
    assert "waiting 2" in work
    assert "last step 13.1 ms, 3 canvases" in work
    assert "steps/s 70.0" in work
    assert cache == "pages ━━━━──────────── 25 of 100"
    assert "tokens/s 1,234" in speeds
    assert "canvases/step 2.5" in speeds
    assert speeds.endswith("▄█")
    assert canvas.startswith("━━━━──────────── step  12 of 48")
    assert canvas.endswith("canvas 2  mine")


def test_the_figures_of_a_busy_engine_fit_into_80_columns() -> None:
    busy = replace(
        STATE,
        running_requests=64,
        waiting_requests=256,
        last_step_s=0.8487,
        last_batch_size=64,
        steps_per_second=123.4,
        canvases_per_step=63.9,
        output_tokens_per_second=12_345.0,
        effective_tokens_per_second=15_432.0,
    )
    _, work, _, speeds, *_ = drawn(busy, width=80)
    assert work.rstrip().endswith("steps/s 123.4")
    assert speeds.endswith("▄█")


def test_a_canvas_that_has_begun_shows_it() -> None:
    begun = replace(STATE, canvases=(replace(CANVAS, step=1, max_denoising_steps=1_000),))
    assert drawn(begun)[-1].startswith("━───")


def test_what_has_no_room_is_counted() -> None:
    rows = drawn(replace(STATE, canvases=(CANVAS,) * 30), height=10)
    assert len(rows) == 10
    assert rows[-1] == "… and 26 more"


def test_rows_are_cut_at_the_width_of_the_terminal() -> None:
    assert max(map(len, drawn(STATE, width=30))) == 30


def test_restarts_and_memory_are_told_where_there_are_any() -> None:
    engine, _, cache, *_ = drawn(replace(STATE, restarts=2, used_memory_bytes=3 * 2**30))
    assert engine.endswith("started again 2 times")
    assert cache.endswith("memory 3.0 GiB")


def test_programs_read_one_state_a_line(run: Run) -> None:
    code, out, _ = run("--json", "--once")
    assert code == 0
    state = json.loads(out)
    assert (state["model"], state["phase"]) == ("palimpsest-tiny", "serving")
    assert state["total_pages"] > 0


def test_one_look_is_text(run: Run) -> None:
    code, out, _ = run("--once")
    assert code == 0
    assert out.startswith("palimpsest-tiny  serving\nrunning 0")


def test_an_interval_out_of_bounds_is_bad_input(run: Run) -> None:
    code, _, errors = run("--interval", "0.001", "--once")
    assert code == EXIT_BAD_INPUT
    assert errors == "palimpsest: interval: 0.001 s is outside 0.02 to 60.0 s\n"


@pytest.mark.parametrize("interval", ["nan", "inf", "-inf", "1e30"])
def test_an_interval_that_is_no_time_is_bad_input(run: Run, interval: str) -> None:
    code, _, errors = run(f"--interval={interval}", "--once")
    assert code == EXIT_BAD_INPUT
    [line] = errors.splitlines()
    assert line.startswith(f"palimpsest: interval: {float(interval)} s does not fit: ")


def test_an_empty_address_is_bad_input(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--address", "", "--once")
    assert caught.value.code == EXIT_BAD_INPUT
    assert capsys.readouterr().err == "palimpsest top: argument --address: is empty\n"


def test_a_server_that_is_not_there_is_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--address", "127.0.0.1:1", "--once"]) == EXIT_TROUBLE
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_states_go_on_until_they_are_closed(server_address: str) -> None:
    with Client(server_address) as client, client.watch_engine(interval_s=0.02) as states:
        first, second = next(states), next(states)
        assert second.observed_s > first.observed_s
        states.close()
        assert next(states, None) is None


def test_closing_ends_the_wait_for_the_next_state(server_address: str) -> None:
    with Client(server_address) as client, client.watch_engine(interval_s=60) as states:
        next(states)
        closing = threading.Timer(0.1, states.close)
        closing.start()
        assert next(states, None) is None
        closing.join()


async def test_states_come_to_the_asyncio_client_too(server_address: str) -> None:
    async with AsyncClient(server_address) as client:
        async with contextlib.aclosing(client.watch_engine(interval_s=0.02)) as states:
            first, second = await anext(states), await anext(states)
        assert second.observed_s > first.observed_s
