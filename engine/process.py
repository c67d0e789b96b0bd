"""A command of this package as a process: Ctrl-C and a reader that left end it without a word.

Loads nothing by itself, so that this holds while the command loads torch.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable

EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


def run(module: str) -> int:
    """The exit code of what `main` of a module does with the command line."""
    try:
        return _run_and_flush(_main_of(module))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python must not find the pipe broken once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _main_of(module: str) -> Callable[[], int]:
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        # ignored, as in a background job
        return importlib.import_module(module).main
    # An exception would abort torch where it comes in the middle of its C++.
    signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    try:
        return importlib.import_module(module).main
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run_and_flush(main: Callable[[], int]) -> int:
    try:
        return main()
    finally:
        print(end="", flush=True)
