"""rich's console, which takes a reader that left as print() does: it raises BrokenPipeError."""

from __future__ import annotations

from typing import NoReturn

import rich.console


class Console(rich.console.Console):
    """rich's own ends the process, with the code of a failure."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
