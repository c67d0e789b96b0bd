"""The embedded server lives exactly as long as the process that started it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest import Client
from palimpsest.embedded import EmbeddedServer
from palimpsest.errors import EmbeddedServerError

PATIENCE_MS = 30_000


class Watch:
    """Processes that should end, held by handles that their end makes readable."""

    def __init__(self, pid: int) -> None:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        self.pids = [pid, *children]
        self._handles = [os.pidfd_open(pid) for pid in self.pids]

    def all_end(self) -> bool:
        """Whether all of them end in good time."""
        ended = True
        for handle in self._handles:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            ended = bool(poll.poll(PATIENCE_MS)) and ended
            os.close(handle)
        return ended


def test_it_answers_and_leaves_no_process_behind() -> None:
    with EmbeddedServer(arguments=["--threads", "1"]) as server:
        watch = Watch(server.pid)
        assert len(watch.pids) > 1, "the engine is a process of its own"
        with Client(server.address) as client:
            assert client.model().name == server.model
            assert client.count_tokens("add 27 and 48") > 4
    assert watch.all_end()
    # Once more is harmless.
    server.close()


def test_it_dies_with_its_owner_even_if_that_is_killed() -> None:
    script = (
        "from palimpsest.embedded import EmbeddedServer\n"
        "print(EmbeddedServer(arguments=['--threads', '1']).pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        watch = Watch(int(owner.stdout.readline()))
        owner.kill()
    assert watch.all_end()


def test_a_server_that_refuses_to_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=str(tmp_path)) as caught:
        EmbeddedServer(model=str(tmp_path))
    assert caught.value.exit_code == 2


def test_the_command_starts_one_by_itself_and_passes_its_refusal_on(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "palimpsest.cli", "generate", "hello", "--model", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert str(tmp_path) in line
