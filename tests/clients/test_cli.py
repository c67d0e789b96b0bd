"""The command as a process in a pipe: what comes out, byte for byte, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from palimpsest import Client

COMMAND = (sys.executable, "-m", "palimpsest.cli")
PROMPT = "reverse the word: canvas"
BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}
"""In which a failure to write may show at the end of the process only."""


def palimpsest(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin.encode(),
        capture_output=True,
        check=False,
    )


def json_lines(*arguments: str) -> list[dict[str, Any]]:
    result = palimpsest("generate", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def answer(server_address: str) -> str:
    """What the model answers to the prompt with seed 7."""
    with Client(server_address) as client:
        return client.generate(PROMPT, seed=7).text


def test_in_a_pipe_the_answer_comes_out_and_nothing_else(server_address: str, answer: str) -> None:
    result = palimpsest("generate", PROMPT, "--seed", "7", "--address", server_address)
    assert (result.returncode, result.stdout, result.stderr) == (0, answer.encode(), b"")


def test_the_prompt_can_come_from_the_standard_input(server_address: str, answer: str) -> None:
    flags = ("--seed", "7", "--address", server_address)
    result = palimpsest("generate", "-", *flags, stdin=f"{PROMPT}\n")
    assert result.stdout == answer.encode()


def test_json_lines_tell_the_story_from_started_to_completed(
    server_address: str, answer: str
) -> None:
    lines = json_lines(PROMPT, "--seed", "7", "--address", server_address)
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "started"
    assert kinds[-1] == "completed"
    assert set(kinds) == {"started", "snapshot", "commit", "completed"}
    length = lines[0]["canvas_length"]
    for line in lines:
        if line["event"] == "snapshot":
            assert len(line["token_ids"]) == length
            assert len(line["token_texts"]) == length
            assert len(line["accepted"]) == length
            assert len(line["confidence"]) == length
            assert all(0 <= share <= 1 for share in line["confidence"])
    assert "".join(line["text_delta"] for line in lines if line["event"] == "commit") == answer
    assert [line["sequence"] for line in lines] == sorted(line["sequence"] for line in lines)


def test_without_drafts_json_has_no_snapshots(server_address: str) -> None:
    lines = json_lines(PROMPT, "--no-drafts", "--address", server_address)
    assert {line["event"] for line in lines} == {"started", "commit", "completed"}


def test_the_same_seed_gives_the_same_bytes(server_address: str, answer: str) -> None:
    flags = ("generate", PROMPT, "--seed", "7", "--address", server_address)
    assert [palimpsest(*flags).stdout for _ in range(3)] == [answer.encode()] * 3


def test_the_output_is_cut_at_exactly_the_tokens_asked_for(server_address: str) -> None:
    flags = ("--max-output-tokens", "2", "--seed", "7", "--address", server_address)
    lines = json_lines(PROMPT, *flags)
    assert lines[-1]["finish_reason"] == "length"
    assert lines[-1]["usage"]["output_tokens"] == 2


def test_an_answer_can_be_made_to_be_of_a_form(server_address: str, tmp_path: Path) -> None:
    schema = tmp_path / "point.json"
    schema.write_text('{"type": "object", "properties": {"x": {"type": "null"}}}')
    flags = ("--seed", "7", "--address", server_address)
    for form in (("--json-schema", str(schema)), ("--json-schema", schema.read_text())):
        result = palimpsest("generate", PROMPT, *form, *flags)
        assert json.loads(result.stdout) in ({}, {"x": None})
    result = palimpsest("generate", PROMPT, "--choice", "savnac", "--choice", "canvas", *flags)
    assert result.stdout == b"savnac"


def test_the_answer_ends_before_any_text_it_is_to_stop_at(server_address: str, answer: str) -> None:
    flags = ("--stop", answer[3:], "--stop", answer[4:], "--seed", "7")
    result = palimpsest("generate", PROMPT, *flags, "--address", server_address)
    assert (result.returncode, result.stdout) == (0, answer[:3].encode())


def test_the_gaps_of_a_template_are_filled(server_address: str, answer: str) -> None:
    template = f"[{answer[:2]}[[8]]] done"
    result = palimpsest("fill", PROMPT, template, "--seed", "7", "--address", server_address)
    assert result.returncode == 0
    assert result.stdout.startswith(f"[{answer[:2]}".encode())
    assert result.stdout.endswith(b"] done")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["generate", ""], "prompt"),
        (["fill", PROMPT, "no gap"], "canvas.template"),
        (["fill", PROMPT, "[[0]]"], "token_count"),
        (["generate", PROMPT, "--temperature", "-1"], "temperature"),
        (["generate", PROMPT, "--temperature", "nan"], "temperature"),
        (["generate", PROMPT, "--max-output-tokens", "0"], "max_output_tokens"),
        (["generate", PROMPT, "--max-output-tokens", "1000000000"], "max_output_tokens"),
        (["generate", PROMPT, "--max-output-tokens", "-5"], "max_output_tokens"),
        (["generate", PROMPT, "--max-denoising-steps", "0"], "max_denoising_steps"),
        (["generate", PROMPT, "--seed", "18446744073709551616"], "seed"),
        (["generate", PROMPT, "--stop", ""], "stop_sequences"),
        (["generate", PROMPT, "--regex", "(?=a)b"], "response_format.regex: assert"),
        (["generate", PROMPT, "--json-schema", '{"type": "text"}'], "'text' is no type"),
        (["generate", PROMPT, "--json-schema", "no-such.json"], "no-such.json"),
        (["generate", PROMPT, "--choice", "a", "--regex", "b"], "not allowed with"),
        (["generate", PROMPT, "--thinking-budget", "999999999"], "thinking_budget"),
        (["generate", PROMPT, "--model", "gpt-17"], "gpt-17"),
        (["generate", "word " * 20_000], "context"),
        (["chat", "--temperature", "-1"], "temperature"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(
    server_address: str, flags: list[str], complaint: str
) -> None:
    result = palimpsest(*flags, "--address", server_address, stdin="hello\n")
    assert result.returncode == 2
    assert result.stdout == b""
    [line] = result.stderr.decode().splitlines()
    assert line.startswith(("palimpsest: ", f"palimpsest {flags[0]}: "))
    assert complaint in line


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["generate"],
        ["paint", "a canvas"],
        ["generate", PROMPT, "--seed", "seven"],
        ["generate", PROMPT, "--raw", "--think"],
        ["generate", PROMPT, "--sed", "7"],
    ],
)
def test_a_wrong_command_line_ends_with_code_2_and_one_line(flags: list[str]) -> None:
    result = palimpsest(*flags)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_nobody_at_the_address_ends_with_code_1_and_one_line() -> None:
    result = palimpsest("generate", PROMPT, "--address", "127.0.0.1:1")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_error_message(server_address: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "generate", PROMPT, "--json", "--address", server_address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize("command", [["models"], ["demo"], ["generate", PROMPT]])
def test_a_reader_that_left_before_anything_was_written_is_none_either(
    server_address: str, command: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [*COMMAND, *command, "--address", server_address]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, check=False, env=BUFFERED)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_that_cannot_be_written_ends_with_code_1_and_one_line(server_address: str) -> None:
    words = [*COMMAND, "models", "--address", server_address]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False, env=BUFFERED)
    assert done.returncode == 1
    assert done.stderr == b"palimpsest: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("command", [[], ["generate"], ["fill"], ["chat"]])
def test_help_shows_examples(command: list[str]) -> None:
    result = palimpsest(*command, "--help")
    assert result.returncode == 0
    assert "examples:\n  palimpsest" in result.stdout.decode()


@pytest.mark.parametrize(
    "words",
    [
        ("generate", b"caf\xe9"),
        ("generate", "-"),
        ("generate", "--raw", b"caf\xe9"),
        ("fill", PROMPT, b"caf\xe9 [[8]]"),
        ("decide", b"caf\xe9", "--labels", "yes,no"),
        ("decide", PROMPT, "--labels", b"yes,caf\xe9"),
        ("chat",),
        ("trace", b"caf\xe9"),
        ("models", "--model", b"caf\xe9"),
    ],
)
def test_bytes_that_are_no_text_are_refused_in_one_line(
    server_address: str, words: Sequence[str | bytes]
) -> None:
    done = subprocess.run(
        [*COMMAND, *words, "--address", server_address],
        input=b"caf\xe9\n",
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (done.returncode, done.stdout) == (2, b"")
    [line] = done.stderr.splitlines()
    assert b"udce9" in line


@pytest.mark.parametrize(
    ("flags", "variable", "field"),
    [
        (["--api-key", "schlüssel"], "", b"api_key"),
        (["--api-key", "two\nlines"], "", b"api_key"),
        ([], "schlüssel", b"PALIMPSEST_API_KEY"),
    ],
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(
    flags: list[str], variable: str, field: bytes
) -> None:
    done = subprocess.run(
        [*COMMAND, "models", "--address", "127.0.0.1:1", *flags],
        capture_output=True,
        check=False,
        env={**os.environ, "PALIMPSEST_API_KEY": variable},
    )
    assert done.returncode == 2
    assert done.stderr == b"palimpsest: " + field + b": not all of it is printable ASCII\n"


def test_serve_help_is_the_server_s_own() -> None:
    result = palimpsest("serve", "--help")
    assert result.returncode == 0
    assert "--max-model-len" in result.stdout.decode()


def test_serve_without_the_server_s_packages_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; "
        "from palimpsest.cli import main; sys.exit(main(['serve']))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert result.returncode == 2
    [line] = result.stderr.decode().splitlines()
    assert "pip install 'palimpsest[serve]'" in line
    assert "torch" in line


def test_models_lists_the_bundled_model(server_address: str) -> None:
    result = palimpsest("models", "--address", server_address)
    assert result.returncode == 0
    assert result.stdout.startswith(b"palimpsest-tiny ")


def test_a_chat_over_a_pipe_answers_line_by_line(server_address: str, answer: str) -> None:
    flags = ("--seed", "7", "--address", server_address)
    # After /reset the second question is the first of its conversation again.
    result = palimpsest("chat", *flags, stdin=f"{PROMPT}\n/reset\n\n{PROMPT}")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == f"{answer}\n{answer}\n"


def test_a_chat_remembers_what_was_said(server_address: str) -> None:
    with Client(server_address) as client:
        first = client.generate(PROMPT, seed=7).text
        second = client.generate(
            messages=[
                {"role": "user", "content": PROMPT},
                {"role": "assistant", "content": first},
                {"role": "user", "content": "add 27 and 48"},
            ],
            seed=8,
        ).text
    result = palimpsest(
        *("chat", "--seed", "7", "--address", server_address),
        stdin=f"{PROMPT}\n/seed 8\nadd 27 and 48\n",
    )
    assert result.stdout.decode() == f"{first}\n{second}\n"


def test_an_unknown_command_in_a_chat_is_refused_and_not_sent(server_address: str) -> None:
    result = palimpsest("chat", "--address", server_address, stdin="/dance\n")
    assert (result.returncode, result.stdout) == (0, b"")
    assert result.stderr.decode() == "/dance: no such command; /help lists them\n"


def test_thinking_is_asked_for_by_a_flag_and_in_a_chat(server_address: str) -> None:
    """What is asked shows in the size of the prompt."""
    asked = [{"role": "user", "content": PROMPT}]
    with Client(server_address) as client:
        plain = client.count_tokens(messages=asked)
        thinking = client.count_tokens(messages=asked, enable_thinking=True)
    assert plain < thinking
    flags = ("--max-output-tokens", "2", "--address", server_address)
    assert json_lines(PROMPT, *flags)[0]["prompt_tokens"] == plain
    assert json_lines(PROMPT, "--think", *flags)[0]["prompt_tokens"] == thinking


def test_a_chat_turns_thinking_on_and_off(server_address: str) -> None:
    with Client(server_address) as client:
        plain = client.generate(PROMPT, seed=7).text
        thinking = client.generate(PROMPT, seed=7, enable_thinking=True).text
    result = palimpsest(
        *("chat", "--think", "--seed", "7", "--address", server_address),
        stdin=f"{PROMPT}\n/reset\n/think off\n{PROMPT}\n/reset\n/think on\n{PROMPT}\n/think\n",
    )
    assert result.stdout.decode() == f"{thinking}\n{plain}\n{thinking}\n"
    assert result.stderr.decode() == "/think: no such command; /help lists them\n"
