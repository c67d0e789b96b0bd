"""What a run of suites asks and counts: over the real server, and one that refuses at will."""

from __future__ import annotations

import pytest
from clerk import Clerk
from evaluating import ADD, REVERSE, WRONG, WriteSuite, evaluate, result
from serving import Serve

from palimpsest import arguments, errors
from palimpsest.evaluation import command

TOO_LONG = {"prompt": "word " * 20_000, "expected": ""}


def test_a_run_tells_right_wrong_and_failed_apart(
    server_address: str, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
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
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
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
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
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
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
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
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    clerk = Clerk()
    run = result(capsys, serve(clerk), "--suite", suite("busy"))
    assert clerk.turned_away == 3
    assert (run["overall"]["right"], run["overall"]["errors"]) == (1, 0)


def test_an_item_that_fails_ends_nothing(
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite("fail", "one", "two", "three")
    assert evaluate(serve(Clerk()), "--suite", path, "--concurrency", "1") == 0
    shown = capsys.readouterr().out
    assert "3/4" in shown
    assert 'mine, failed: "fail": INTERNAL: the desk fell over' in shown


def test_if_nothing_is_answered_the_first_error_is_the_result(
    serve: Serve, server_address: str, suite: WriteSuite
) -> None:
    with pytest.raises(errors.ServerError, match="the desk fell over"):
        evaluate(serve(Clerk()), "--suite", suite("fail"))
    with pytest.raises(errors.InvalidRequest, match="temperature"):
        evaluate(server_address, "--suite", suite("one", "two"), "--temperature", "-1")
    with pytest.raises(errors.Unavailable):
        evaluate("127.0.0.1:1", "--suite", suite("one"))


def test_flags_win_over_what_items_say(suite: WriteSuite) -> None:
    path = suite(ADD | {"enable_thinking": True, "max_output_tokens": 9}, "one")
    plain = command.plan(arguments.parse(["eval", "--suite", path]))
    assert [item.enable_thinking for item in plain.items] == [True, None]
    assert [item.max_output_tokens for item in plain.items] == [9, None]
    flags = ["eval", "--suite", path, "--thinking", "off", "--max-output-tokens", "7"]
    plan = command.plan(arguments.parse(flags))
    assert [item.enable_thinking for item in plan.items] == [False, False]
    assert [item.max_output_tokens for item in plan.items] == [7, 7]
    assert [item.id for item in plan.items] == [item.id for item in plain.items]
