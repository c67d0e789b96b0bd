"""A real server of the bundled model, as a process of its own on a free port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from palimpsest.engine.api import checkpoint_folder
from palimpsest.v1.service_pb2_grpc import DiffusionServiceStub

MODEL = "bundled"
EXIT_S = 30.0
PROGRAM = ("-m", "palimpsest.server")
FLAGS = ("--port", "0", "--http-port", "0", "--threads", "1")
COMMAND = (sys.executable, *PROGRAM, *FLAGS)


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A server that answers requests."""

    process: subprocess.Popen[str]
    address: str
    url: str
    """Of its HTTP port."""
    log_path: Path
    channel: grpc.Channel

    @property
    def stub(self) -> DiffusionServiceStub:
        return DiffusionServiceStub(self.channel)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def engine_pids(self) -> list[int]:
        """All child processes."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def stop(self) -> int:
        """Close its standard input and wait; the exit code."""
        self.channel.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(EXIT_S)


Start = Callable[..., ServerProcess]
"""Takes what `start_server` takes after the path of the log."""


def start_server(
    log_path: Path,
    *flags: str,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> ServerProcess:
    """Returns once requests are answered."""
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, *program, *FLAGS),
                *("--model", MODEL, "--ready-json", "--exit-with-stdin", *flags),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **(environment or {})},
            process_group=0,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, log_path.read_text()
    ready = json.loads(line)
    # Small windows, as our own client has them: a reader that does not read is noticed soon.
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4_096))
    channel = grpc.insecure_channel(ready["address"], options)
    return ServerProcess(
        process=process,
        address=ready["address"],
        url=ready["http"],
        log_path=log_path,
        channel=channel,
    )


def endless_model(folder: Path, *, end_token: int) -> Path:
    """A copy of the bundled model that only `end_token` ends: answers of any length on demand."""
    return _copied_model(folder / "endless", {"eos_token_id": [end_token]})


def unhurried_model(folder: Path, *, steps: int) -> Path:
    """A copy of the bundled model whose canvases take exactly so many steps; two at most."""
    never_converges = {"confidence_threshold": 0.0, "max_denoising_steps": steps}
    return _copied_model(folder / "unhurried", {**never_converges, "max_new_tokens": 128})


def _copied_model(folder: Path, settings: dict[str, Any]) -> Path:
    """A copy of the bundled model with other settings of generation."""
    copy = shutil.copytree(checkpoint_folder("bundled"), folder)
    path = copy / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return copy
