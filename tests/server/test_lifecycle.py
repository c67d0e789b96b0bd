"""A real server from start to end: health, crashes of the engine, signals, and starts that fail."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from server_process import COMMAND, ServerProcess, Start

from palimpsest.engine.api import checkpoint_folder
from palimpsest.v1 import (
    canvas_pb2,
    engine_state_pb2,
    generation_pb2,
    prompt_pb2,
    sampling_pb2,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "palimpsest.v1.DiffusionService"
EXIT_S = 60.0


def unending(steps: int) -> generation_pb2.StreamGenerateRequest:
    """A stream of one canvas that takes all of its steps."""
    sampling = sampling_pb2.SamplingParameters(
        seed=1, max_denoising_steps=steps, confidence_threshold=0.0, max_output_tokens=8
    )
    asked = generation_pb2.GenerationInput(
        prompt=prompt_pb2.Prompt(text="reverse the word: canvas"), sampling=sampling
    )
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA)
    return generation_pb2.StreamGenerateRequest(input=asked, preview=preview)


def until_denoising(
    events: Iterator[generation_pb2.StreamGenerateResponse],
) -> Iterator[generation_pb2.StreamGenerateResponse]:
    """Reads to the first snapshot; gives the rest of the stream."""
    for event in events:
        if event.HasField("snapshot"):
            return events
    raise AssertionError("the stream ended without a snapshot")


def watch(server: ServerProcess) -> Iterator[int]:
    """The server's health: what it is, then every change."""
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    return (response.status for response in stub.Watch(request))


def start_badly(*flags: str) -> tuple[int, str]:
    """Exit code and standard error of a server that does not come up."""
    command = [*COMMAND, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=EXIT_S, check=False)
    return ended.returncode, ended.stderr


def test_a_killed_engine_ends_its_requests_and_is_started_again(server: ServerProcess) -> None:
    health = watch(server)
    assert next(health) == SERVING
    events = until_denoising(server.stub.StreamGenerate(unending(1_000)))
    (engine,) = server.engine_pids()
    os.kill(engine, signal.SIGKILL)

    with pytest.raises(grpc.RpcError) as caught:
        list(events)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)

    assert next(health) == NOT_SERVING
    assert next(health) == SERVING
    answer = list(server.stub.StreamGenerate(unending(2)))
    assert answer[-1].HasField("completed")
    (new_engine,) = server.engine_pids()
    assert new_engine != engine
    states = server.stub.WatchEngine(engine_state_pb2.WatchEngineRequest())
    assert next(states).state.restarts >= 1
    states.cancel()


def test_a_terminated_server_finishes_what_runs_and_takes_nothing_new(start: Start) -> None:
    server = start()
    health = watch(server)
    assert next(health) == SERVING
    (engine,) = server.engine_pids()
    events = until_denoising(server.stub.StreamGenerate(unending(100)))

    # The whole process group, as Ctrl-C in a terminal does: the engine must not notice.
    os.killpg(server.process.pid, signal.SIGTERM)

    assert next(health) == NOT_SERVING
    with pytest.raises(grpc.RpcError, match="shutting down") as caught:
        list(server.stub.StreamGenerate(unending(1)))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert list(events)[-1].HasField("completed")
    assert server.process.wait(EXIT_S) == 0
    assert not Path(f"/proc/{engine}").exists()


def test_a_server_that_is_stopped_while_loading_ends_at_once() -> None:
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listening on 127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(EXIT_S) == 0
        assert "serving" not in process.stderr.read()


def test_a_model_folder_that_is_not_there_ends_with_code_2_and_its_name() -> None:
    code, printed = start_badly("--model", "/nowhere")
    assert code == 2
    assert "--model /nowhere" in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_a_truncated_checkpoint_ends_with_code_2_and_the_files_name(tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint_folder("bundled"), tmp_path / "cut")
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    code, printed = start_badly("--model", str(folder))
    assert code == 2
    assert printed.splitlines()[-1].startswith("palimpsest serve: error: ")
    assert "model.safetensors" in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_a_port_that_is_taken_ends_with_code_2_and_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, printed = start_badly("--port", str(port))
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in printed.splitlines()[-1]
    assert "Traceback" not in printed
