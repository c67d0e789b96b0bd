"""`palimpsest eval` from flags to files: over the real server, and one that refuses at will."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from palimpsest import arguments, errors
from palimpsest.evaluation import command
from palimpsest.evaluation.lines import BadInput
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, model_pb2, prompt_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

Serve = Callable[[DiffusionServiceServicer], str]
COMMAND = (sys.executable, "-m", "palimpsest.cli", "eval")
ADD = {"prompt": "add 27 and 48", "expected": "75"}
REVERSE = {"prompt": "reverse the word: canvas", "expected": "savnac"}
WRONG = {"prompt": "add 20 and 22", "expected": "never that"}
TOO_LONG = {"prompt": "word " * 20_000, "expected": ""}


class Clerk(DiffusionServiceServicer):
    """Answers with the prompt, a canvas a word, the n-th in n steps; or does what it says."""

    def __init__(self) -> None:
        self.seeds: dict[str, int] = {}
        self.prompts: list[prompt_pb2.Prompt] = []
        self.turned_away = 0
        self.holding = threading.Event()
        """Set once there is a request that is never answered."""

    def GetModel(
        self, request: model_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_pb2.GetModelResponse:
        return model_pb2.GetModelResponse(model=model_pb2.Model(name="clerk", device="desk"))

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        prompt = request.input.prompt.chat.messages[-1].parts[0].text
        self.seeds[prompt] = request.input.sampling.seed
        self.prompts.append(request.input.prompt)
        match prompt:
            case "fail":
                context.abort(grpc.StatusCode.INTERNAL, "the desk fell over")
            case "hold":
                gone = threading.Event()
                context.add_callback(gone.set)
                self.holding.set()
                gone.wait()
            case "busy" if self.turned_away < 3:
                self.turned_away += 1
                turn_away(context)
        yield from answered(prompt.split(), request.input.prompt.chat.tools)


def answered(
    words: list[str], tools: Sequence[chat_pb2.Tool]
) -> Iterator[generation_pb2.StreamGenerateResponse]:
    response = generation_pb2.StreamGenerateResponse
    yield response(started=generation_pb2.Started(canvas_length=8))
    for index, word in enumerate(words):
        yield response(commit=canvas_pb2.CanvasCommit(text_delta=word, steps=index + 1))
    if tools:
        call = chat_pb2.ToolCall(id="1", name=tools[0].name)
        call.arguments.update({"minutes": 5})
        yield response(
            commit=canvas_pb2.CanvasCommit(steps=1, thought_delta="hm", tool_calls=[call])
        )
    usage = generation_pb2.Usage(output_tokens=2 * len(words), canvases=len(words))
    yield response(completed=generation_pb2.Completed(usage=usage))


def turn_away(context: grpc.ServicerContext) -> None:
    """Refuses for a millisecond."""
    hint = any_pb2.Any()
    hint.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=1_000_000)))
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    status = status_pb2.Status(code=code.value[0], details=[hint])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "the queue is full")


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., str]:
    """Writes a suite, one file a call; its items are lines, or prompts to be repeated."""

    def write(*items: str | dict[str, Any], name: str = "mine") -> str:
        lines = [
            {"prompt": item, "expected": item.replace(" ", "")} if isinstance(item, str) else item
            for item in items
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return str(path)

    return write


def evaluate(address: str, *flags: str | Path) -> int:
    args = arguments.parse(["eval", "--address", address, *map(str, flags)])
    return command.run(command.plan(args), address)


def result(capsys: pytest.CaptureFixture[str], address: str, *flags: str | Path) -> Any:  # noqa: ANN401 - JSON
    assert evaluate(address, *flags, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_tells_right_wrong_and_failed_apart(
    server_address: str, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(ADD, REVERSE, WRONG, TOO_LONG)
    run = result(capsys, server_address, "--suite", path)
    [mine] = run["skills"]
    assert (mine["skill"], mine["items"], mine["right"], mine["errors"]) == ("mine", 4, 2, 1)
    assert mine["accuracy"]["low"] < 0.5 < mine["accuracy"]["high"]
    assert [item["right"] for item in run["items"]] == [True, True, False, False]
    assert [item["answer"] for item in run["items"][:2]] == ["75", "savnac"]
    assert "context" in run["items"][3]["error"]
    assert mine["wrong"] == [run["items"][2]["id"]]
    steps = [count for item in run["items"] for count in item["steps"]]
    assert len(steps) == mine["canvases"] == sum(mine["steps_histogram"].values()) == 3
    assert sum(steps) == mine["denoising_steps"] > 0
    assert mine["canvas_tokens"] == 3 * run["about"]["model"]["canvas_length"]
    assert 0 < mine["output_tokens_per_second"] < mine["effective_tokens_per_second"]
    assert run["about"]["settings"]["sampling"]["max_denoising_steps"] == 48


def test_the_answers_do_not_depend_on_what_else_is_in_flight(
    server_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for concurrency in (1, 5):
        flags = ("--skills", "sort", "--items", "6", "--seed", "5", "--concurrency", concurrency)
        run = result(capsys, server_address, *map(str, flags))
        kept = ("id", "seed", "answer", "steps", "right")
        answers.append([{name: item[name] for name in kept} for item in run["items"]])
    assert answers[0] == answers[1]
    assert [item["seed"] for item in answers[0]] == [5, 6, 7, 8, 9, 10]


def test_a_part_of_a_run_asks_with_the_seeds_of_the_whole(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    clerk = Clerk()
    address = serve(clerk)
    paths = (suite("a0", "a1", name="a"), suite("b0", "b1", "b2", name="b"))
    evaluate(address, "--suite", *paths, "--seed", "40")
    assert clerk.seeds == {"a0": 40, "a1": 41, "b0": 40, "b1": 41, "b2": 42}
    clerk.seeds.clear()
    evaluate(address, "--suite", *paths, "--seed", "40", "--skills", "b", "--items", "2")
    assert clerk.seeds == {"b0": 40, "b1": 41}


def test_figures_are_counted_over_canvases(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = result(capsys, serve(Clerk()), "--suite", suite("one", "one two", "one two three"))
    overall = run["overall"]
    assert overall["steps_histogram"] == {"1": 3, "2": 2, "3": 1}
    assert (overall["canvases"], overall["denoising_steps"]) == (6, 10)
    assert overall["steps_per_canvas"] == pytest.approx(10 / 6)
    assert overall["tokens_per_forward"] == pytest.approx(12 / 10)
    assert overall["canvas_tokens"] == 6 * 8
    speeds = (overall["output_tokens_per_second"], overall["effective_tokens_per_second"])
    assert speeds == pytest.approx((12 / overall["wall_s"], 48 / overall["wall_s"]))


def test_tools_and_thinking_reach_the_server_and_calls_come_back(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    clerk = Clerk()
    call = {"name": "set_timer", "arguments": {"minutes": 5}}
    item = {"prompt": "wake", "tools": [{"name": "set_timer"}], "matcher": "tool_calls"}
    path = suite(item | {"expected": [call], "enable_thinking": True}, "plain")
    run = result(capsys, serve(clerk), "--suite", path, "--concurrency", "1")
    assert [item["right"] for item in run["items"]] == [True, True]
    assert run["items"][0]["tool_calls"] == [call]
    assert run["items"][0]["thought"] == "hm"
    with_tools, plain = (prompt.chat for prompt in clerk.prompts)
    assert ([tool.name for tool in with_tools.tools], with_tools.enable_thinking) == (
        ["set_timer"],
        True,
    )
    assert (len(plain.tools), plain.HasField("enable_thinking")) == (0, False)


def test_a_full_queue_is_waited_for_as_the_server_says(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    clerk = Clerk()
    run = result(capsys, serve(clerk), "--suite", suite("busy"))
    assert clerk.turned_away == 3
    assert (run["overall"]["right"], run["overall"]["errors"]) == (1, 0)


def test_an_item_that_fails_ends_nothing(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite("fail", "one", "two", "three")
    assert evaluate(serve(Clerk()), "--suite", path, "--concurrency", "1") == 0
    shown = capsys.readouterr().out
    assert "3/4" in shown
    assert 'mine, failed: "fail": INTERNAL: the desk fell over' in shown


def test_if_nothing_is_answered_the_first_error_is_the_result(
    serve: Serve, server_address: str, suite: Callable[..., str]
) -> None:
    with pytest.raises(errors.ServerError, match="the desk fell over"):
        evaluate(serve(Clerk()), "--suite", suite("fail"))
    with pytest.raises(errors.InvalidRequest, match="temperature"):
        evaluate(server_address, "--suite", suite("one", "two"), "--temperature", "-1")
    with pytest.raises(errors.Unavailable):
        evaluate("127.0.0.1:1", "--suite", suite("one"))


def test_out_writes_run_items_table_and_plot(
    serve: Serve, suite: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    bad = {"prompt": "one", "expected": "two", "id": "x"}
    paths = (suite("one", "one two", bad, name="a"), suite("three", "fail", name="b"))
    address = serve(Clerk())
    evaluate(address, "--suite", *paths, "--out", out, "--json")
    run = json.loads((out / "run.json").read_text())
    assert run == json.loads(capsys.readouterr().out)
    lines = (out / "items.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run["items"]
    assert [item["answer"] for item in run["items"]] == ["one", "onetwo", "one", "three", None]
    table = (out / "table.md").read_text()
    assert "| a | 2/3 | 66.7 % |" in table
    assert "| all | 3/5 | 60.0 % |" in table
    assert '- a, wrong: "one" → "one", expected "two"\n' in table
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_compared_with_an_earlier_one(
    serve: Serve, suite: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, path = serve(Clerk()), suite("one", "two three", WRONG | {"id": "x"}, "four")
    base = tmp_path / "base"
    evaluate(address, "--suite", path, "--out", base)
    capsys.readouterr()
    same = result(capsys, address, "--suite", path, "--compare", base)
    [skill] = same["comparison"]["skills"]
    assert (skill["paired"], skill["recovery"], skill["difference"]["value"]) == (True, 1.0, 0.0)
    worse = suite("one", {"prompt": "two three", "expected": "six"}, WRONG | {"id": "x"}, "four")
    flags = ("--suite", worse, "--compare", base / "run.json", "--out", tmp_path / "worse")
    assert evaluate(address, *flags, "--seed", "9") == 0
    shown = capsys.readouterr().out
    # The item with another answer is another item, so three pairs are left.
    assert "3 pairs" in shown
    assert "seed 0 → 9" in shown
    assert "beside clerk" in shown
    assert "## Beside clerk" in (tmp_path / "worse" / "table.md").read_text()


def test_a_base_that_cannot_be_compared_with_is_refused(
    serve: Serve, suite: Callable[..., str], tmp_path: Path
) -> None:
    evaluate(serve(Clerk()), "--suite", suite("one"), "--out", tmp_path / "base")
    other = suite("one", name="other")
    (tmp_path / "half.json").write_text('{"about": {}}')
    for base, complaint in [
        ("base", "none of the skills"),
        ("gone", "cannot be read"),
        ("half.json", "is no run"),
        ("other.jsonl", "is no run"),
    ]:
        args = arguments.parse(["eval", "--suite", other, "--compare", str(tmp_path / base)])
        with pytest.raises(BadInput, match=complaint):
            command.plan(args)


def test_a_skill_below_what_is_required_is_named(
    serve: Serve, suite: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (suite("one", "two", name="good"), suite("one", WRONG, name="poor"))
    address = serve(Clerk())
    assert evaluate(address, "--suite", *paths, "--require", "0.5") == 0
    assert capsys.readouterr().err == ""
    assert evaluate(address, "--suite", *paths, "--require", "0.51") == 1
    assert capsys.readouterr().err == "palimpsest: below 51.0%: poor at 50.0%\n"


def test_flags_win_over_what_items_say(suite: Callable[..., str]) -> None:
    path = suite(ADD | {"enable_thinking": True, "max_output_tokens": 9}, "one")
    plain = command.plan(arguments.parse(["eval", "--suite", path]))
    assert [item.enable_thinking for item in plain.items] == [True, None]
    assert [item.max_output_tokens for item in plain.items] == [9, None]
    flags = ["eval", "--suite", path, "--thinking", "off", "--max-output-tokens", "7"]
    plan = command.plan(arguments.parse(flags))
    assert [item.enable_thinking for item in plan.items] == [False, False]
    assert [item.max_output_tokens for item in plan.items] == [7, 7]
    assert [item.id for item in plan.items] == [item.id for item in plain.items]


@pytest.mark.parametrize(
    "flags",
    [
        ["--items", "0"],
        ["--concurrency", "0"],
        ["--concurrency", "many"],
        ["--seed", "-1"],
        ["--require", "95"],
        ["--require", "nan"],
        ["--thinking", "maybe"],
    ],
)
def test_a_flag_out_of_bounds_ends_with_code_2_and_one_line(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments.parse(["eval", *flags])
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert flags[0] in line


def test_the_command_answers_in_a_pipe(server_address: str, suite: Callable[..., str]) -> None:
    flags = ("--suite", suite(ADD, REVERSE), "--address", server_address, "--require", "1")
    done = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "palimpsest-tiny" in done.stdout
    assert "2/2" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_bad_suite_ends_the_command_with_code_2_and_one_line(suite: Callable[..., str]) -> None:
    path = suite(ADD | {"matcher": "fuzzy"})
    done = subprocess.run([*COMMAND, "--suite", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"palimpsest: {path}:1: matcher: ")


def test_ctrl_c_prints_what_is_there(
    serve: Serve, suite: Callable[..., str], tmp_path: Path
) -> None:
    clerk, path = Clerk(), suite("one", "hold", "never sent")
    flags = ("--address", serve(clerk), "--concurrency", "1", "--out", str(tmp_path / "out"))
    with subprocess.Popen(
        [*COMMAND, "--suite", path, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert clerk.holding.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "1/1" in out
    assert "**interrupted**" in (tmp_path / "out" / "table.md").read_text()
    assert "never sent" not in clerk.seeds


def test_without_matplotlib_everything_but_the_plot_is_written(
    serve: Serve,
    suite: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    evaluate(serve(Clerk()), "--suite", suite("one"), "--out", tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"run.json", "items.jsonl", "table.md"}
    assert "pip install 'palimpsest[eval]'" in capsys.readouterr().err


def test_only_a_plot_loads_matplotlib() -> None:
    code = "import sys, palimpsest.evaluation.command; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
