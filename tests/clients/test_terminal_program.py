"""The command in a real pseudo-terminal: what is drawn, how Ctrl-C ends it, what it leaves behind.

Where signals are sent the server is a small one that never ends its answers, so that every signal
comes in the middle.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from serving import Serve

from palimpsest import Client
from palimpsest.terminal import HIDE_CURSOR, SHOW_CURSOR
from tests.clients.unfinished import PATIENCE_S, Unfinished


class Program:
    """A process in a pseudo-terminal of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._master, self._slave = pty.openpty()
        self.settings_before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "palimpsest.cli", *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **(environment or {})},
            start_new_session=True,
        )
        self.output = ""
        self._read = 0

    def read_until(self, text: str) -> None:
        """Waits for output after what was waited for before; raises AssertionError at its end."""
        while (found := self.output.find(text, self._read)) < 0:
            piece = os.read(self._master, 65536)
            assert piece, self.output
            self.output += piece.decode(errors="replace")
        self._read = found + len(text)

    def type(self, text: str | bytes) -> None:
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    def finish(self) -> int:
        """The exit code, with all output read."""
        code = self.process.wait(PATIENCE_S)
        os.set_blocking(self._master, False)
        try:
            while piece := os.read(self._master, 65536):
                self.output += piece.decode(errors="replace")
        except BlockingIOError:
            pass
        return code

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    programs: list[Program] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Program:
        programs.append(Program(*arguments, environment=environment))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_restores_the_terminal_and_cancels_the_answer(
    serve: Serve, start: Start, number: signal.Signals, exit_code: int
) -> None:
    unfinished = Unfinished()
    program = start("generate", "hello", "--address", serve(unfinished))
    program.read_until("canvas 2")
    assert HIDE_CURSOR in program.output
    program.process.send_signal(number)
    assert program.finish() == exit_code
    assert unfinished.ended.acquire(timeout=PATIENCE_S)
    assert program.output.rindex(SHOW_CURSOR) > program.output.rindex(HIDE_CURSOR)
    assert program.settings == program.settings_before
    assert "Traceback" not in program.output
    assert program.output.rstrip().endswith(SHOW_CURSOR)


def test_ctrl_c_while_the_model_is_loaded_ends_the_embedded_server_too(start: Start) -> None:
    program = start("generate", "hello")
    program.read_until("loading the model")
    tasks = Path(f"/proc/{program.process.pid}/task")
    while not (servers := " ".join(p.read_text() for p in tasks.glob("*/children")).split()):
        os.sched_yield()
    [server] = servers
    program.process.send_signal(signal.SIGINT)
    assert program.finish() == 130
    assert not Path(f"/proc/{server}").exists()
    assert program.output.rindex(SHOW_CURSOR) > program.output.rindex(HIDE_CURSOR)
    assert "Traceback" not in program.output


def test_the_screen_ends_with_the_answer_and_its_figures(server_address: str, start: Start) -> None:
    prompt = "reverse the word: canvas"
    with Client(server_address) as client:
        answer = client.generate(prompt, seed=7).text
    output = ""
    # a reader that is slow may miss all drafts of an answer
    while "canvas 1" not in output:
        program = start("generate", prompt, "--seed", "7", "--address", server_address)
        assert program.finish() == 0
        output = program.output
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(output)
    rows = [row.rstrip() for row in screen.display]
    assert rows[0] == answer
    assert rows[1].startswith("6 tokens · 1 canvas · ")
    assert not any("step " in row for row in rows)
    assert not screen.cursor.hidden


def test_without_colours_none_are_written(serve: Serve, start: Start) -> None:
    program = start(
        "generate", "hello", "--address", serve(Unfinished()), environment={"NO_COLOR": "1"}
    )
    program.read_until("canvas 2")
    assert "\x1b[38" not in program.output
    assert "\x1b[3" not in program.output


def test_a_dumb_terminal_gets_plain_text(serve: Serve, start: Start) -> None:
    program = start(
        "generate", "hello", "--address", serve(Unfinished()), environment={"TERM": "dumb"}
    )
    program.read_until("committed")
    assert "\x1b" not in program.output


def test_no_drafts_in_a_terminal_is_plain_text(serve: Serve, start: Start) -> None:
    program = start("generate", "hello", "--no-drafts", "--address", serve(Unfinished()))
    program.read_until("committed")
    assert "\x1b" not in program.output


def test_ctrl_c_in_a_chat_cancels_the_answer_and_ctrl_d_leaves(serve: Serve, start: Start) -> None:
    unfinished = Unfinished()
    program = start("chat", "--address", serve(unfinished))
    program.read_until("> ")
    program.type("hello\n")
    program.read_until("canvas 2")
    program.process.send_signal(signal.SIGINT)
    program.read_until("(cancelled)")
    assert unfinished.ended.acquire(timeout=PATIENCE_S)
    program.read_until("> ")
    program.type("again\n")
    program.read_until("canvas 2")
    program.process.send_signal(signal.SIGINT)
    program.read_until("(cancelled)")
    program.read_until("> ")
    program.type("\x04")
    assert program.finish() == 0
    assert program.settings == program.settings_before
    # A cancelled turn was never said.
    assert unfinished.messages == [["hello"], ["again"]]


def test_ctrl_c_at_the_prompt_of_a_chat_drops_the_line_and_stays(
    serve: Serve, start: Start
) -> None:
    unfinished = Unfinished()
    program = start("chat", "--address", serve(unfinished))
    program.read_until("> ")
    program.type("half a line")
    program.read_until("half a line")
    program.process.send_signal(signal.SIGINT)
    # A signal just before readline waits for a key is seen with the next one.
    program.type("\n")
    program.read_until("> ")
    program.type("/help\n")
    program.read_until("/reset")
    program.read_until("> ")
    program.type("\x04")
    assert program.finish() == 0
    assert unfinished.messages == []


def test_a_chat_goes_on_after_bytes_that_are_no_text(serve: Serve, start: Start) -> None:
    unfinished = Unfinished()
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    program = start("chat", "--address", serve(unfinished), environment=strict)
    program.read_until("> ")
    program.type(b"caf\xff\n")
    program.read_until("is no character")
    program.read_until("> ")
    program.type("hello\n")
    program.read_until("canvas 2")
    program.process.send_signal(signal.SIGINT)
    program.read_until("(cancelled)")
    program.read_until("> ")
    program.type("\x04")
    assert program.finish() == 0
    assert unfinished.messages == [["hello"]]
