"""What the commands of this package have in common: bad input is one line and exit code 2."""

from __future__ import annotations

import argparse
from typing import NoReturn

EXIT_BAD_INPUT = 2


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong, instead of after a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}\n")
