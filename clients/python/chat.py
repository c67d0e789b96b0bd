"""A conversation in the terminal, or over a pipe with one message a line.

Knows the client and the standard input; `palimpsest.answer` writes what comes back.
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial

from palimpsest import answer
from palimpsest.answer import Form
from palimpsest.client import Client
from palimpsest.errors import PalimpsestError
from palimpsest.interrupts import interruptible
from palimpsest.requests import ALL_DRAFTS, NO_DRAFTS, ChatMessage, Sampling

PROMPT = "> "
HELP = """\
/reset     forget the conversation
/seed N    draw with this seed from now on; /seed alone, with a new one for every answer
/think on  think before answering from now on; /think off, do not
/help      this list
Ctrl-C     cancels the answer that is being written; Ctrl-D leaves"""


class Chat:
    """One conversation: what was said, and how the next answer is sampled."""

    def __init__(
        self, client: Client, sampling: Sampling, form: Form, *, enable_thinking: bool | None
    ) -> None:
        """`enable_thinking` None leaves it to the server."""
        self._client = client
        self._sampling = sampling
        self._form = form
        self._enable_thinking = enable_thinking
        self._messages: list[ChatMessage] = []
        self._interactive = sys.stdin.isatty() and sys.stdout.isatty()

    def run(self) -> None:
        """Answers line after line until the input ends.

        In a terminal an error is shown and the conversation goes on; else it is raised.
        """
        if self._interactive:
            # Line editing and history for input(), where Python was built with it.
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401
            print("/help lists what else you can type; Ctrl-D leaves.")
        while (line := self._read_line()) is not None:
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._turn(line)

    def _read_line(self) -> str | None:
        """The next line, stripped; None at the end of the input."""
        if not self._interactive:
            line = sys.stdin.readline()
            return line.strip() if line else None
        while True:
            try:
                return input(PROMPT).strip()
            except EOFError:
                print()
                return None
            except KeyboardInterrupt:
                print()

    def _command(self, line: str) -> None:
        match line.split():
            case ["/reset"]:
                self._messages = []
            case ["/seed"]:
                self._sampling["seed"] = None
            case ["/seed", number] if number.isdecimal():
                self._sampling["seed"] = int(number)
            case ["/think", "on" | "off" as choice]:
                self._enable_thinking = choice == "on"
            case ["/help"]:
                print(HELP)
            case _:
                print(f"{line}: no such command; /help lists them", file=sys.stderr)

    def _turn(self, line: str) -> None:
        """Answers one message; a turn that fails or is cancelled was never said."""
        messages = [*self._messages, {"role": "user", "content": line}]
        try:
            text = self._answer(messages)
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            print("(cancelled)")
        except PalimpsestError as error:
            if not self._interactive:
                raise
            print(f"palimpsest: {error}", file=sys.stderr)
        else:
            # An answer without text, such as a thought that never ended, cannot be answered to.
            if text:
                self._messages = [*messages, {"role": "assistant", "content": text}]

    def _answer(self, messages: list[ChatMessage]) -> str:
        preview = ALL_DRAFTS if self._form is Form.LIVE else NO_DRAFTS
        stream = partial(
            self._client.stream,
            messages=messages,
            preview=preview,
            enable_thinking=self._enable_thinking,
            **self._sampling,
        )
        with interruptible(stream) as events:
            text = answer.write(events, self._form)
        if not sys.stdout.isatty():
            # One answer after another in a pipe: each ends its line.
            print(flush=True)
        return text
