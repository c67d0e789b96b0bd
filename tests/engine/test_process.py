"""`palimpsest inspect` and `palimpsest quantize` as processes that are interrupted or not read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INSPECT = ("palimpsest.engine.inspector", "bundled")
QUANTIZE = ("palimpsest.engine.quantiser", "bundled", "made", "--format", "nvfp4")

INTERRUPTED_AT_IMPORT = """
import runpy, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == awaited:
            signal.raise_signal(signal.SIGINT)

_, awaited, module, *_ = sys.argv
del sys.argv[1:3]
sys.meta_path.insert(0, Finder())
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("command", "imported"),
    [(INSPECT, "torch"), (QUANTIZE, "torch"), (QUANTIZE, "matplotlib.figure")],
    ids=["inspect, loading torch", "quantize, loading torch", "quantize, plotting"],
)
def test_ctrl_c_ends_a_command_without_a_word(
    command: tuple[str, ...], imported: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", INTERRUPTED_AT_IMPORT, imported, *command]
    done = subprocess.run(words, capture_output=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize("command", [INSPECT, QUANTIZE], ids=["inspect", "quantize"])
def test_a_reader_that_left_is_no_error_message(
    command: tuple[str, ...], form: tuple[str, ...], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", *command, *form],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
