"""What the commands of this package have in common: bad input is one line and exit code 2, and a
reader that left is no failure.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

import rich.console

EXIT_BAD_INPUT = 2


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong, instead of after a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}\n")


class Console(rich.console.Console):
    """Takes a reader that left as print() does; rich's own ends the process with code 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Leaves it to the process."""
        raise BrokenPipeError
