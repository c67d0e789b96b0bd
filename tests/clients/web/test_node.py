"""The TypeScript client in Node, against a real server: it is told what Python's is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import COUNT, REVERSE, asking, deciding, generate, question
from server_process import ServerProcess, start_server

from palimpsest.v1 import model_pb2, sampling_pb2

WEB = Path(__file__).parents[3] / "clients/web"
COMPILER = WEB / "node_modules/typescript/bin/tsc"
COMPILED = WEB / "build/tested"
PROTOCOLS = ["connect", "connect-json", "grpc-web"]

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here"),
    pytest.mark.skipif(not COMPILER.exists(), reason="no packages of npm here; run `make web`"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One request runs at a time."""
    log_path = tmp_path_factory.mktemp("server") / "log"
    started = start_server(log_path, "--max-num-seqs", "1")
    yield started
    assert started.stop() == 0, started.log


@pytest.fixture(scope="module")
def client() -> Path:
    """The compiled client."""
    config = WEB / "tsconfig.build.json"
    subprocess.run(["node", COMPILER, "-p", config, "--outDir", COMPILED], check=True)
    return COMPILED / "index.js"


class Node:
    """A Node program that plays a scenario; iterate over what it prints."""

    def __init__(self, client: Path, server: ServerProcess, scenario: str) -> None:
        script = Path(__file__).with_name("scenarios.mjs")
        self._process = subprocess.Popen(
            ["node", script, client, server.url, scenario], stdout=subprocess.PIPE, text=True
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        assert process.returncode == 0


def test_one_seed_gives_the_same_answer_over_every_protocol(
    server: ServerProcess, client: Path
) -> None:
    over_grpc = generate(server, asking(COUNT))
    answers = list(Node(client, server, "answers"))
    assert [answer["protocol"] for answer in answers] == PROTOCOLS
    for answer in answers:
        assert answer["text"] == over_grpc.text
        assert answer["tokenIds"] == list(over_grpc.token_ids)
        assert answer["usage"]["denoisingSteps"] == over_grpc.usage.denoising_steps
        assert (answer["seed"], answer["finishReason"]) == ("7", "stop")


def test_drafts_arrive_with_their_figures_position_by_position(
    server: ServerProcess, client: Path
) -> None:
    events = list(Node(client, server, "drafts"))
    drafts = [event for event in events if event["kind"] == "draft"]
    assert {draft["protocol"] for draft in drafts} == set(PROTOCOLS)
    for draft in drafts:
        tokens, figures = draft["tokens"], draft["figures"]
        lengths = {len(tokens[name]) for name in ("ids", "texts", "confidence", "entropy")}
        assert lengths == {events[0]["canvasLength"]}
        assert sum(tokens["accepted"]) == figures["acceptedCount"]
        assert all(0 <= share <= 1 for share in tokens["confidence"] + tokens["entropy"])
        assert figures["stepMs"] > 0


def test_a_bad_value_is_refused_with_its_field(server: ServerProcess, client: Path) -> None:
    refusals = list(Node(client, server, "refusals"))
    assert {refusal["code"] for refusal in refusals} == {"invalid_argument"}
    fields = [refusal["violations"][0]["field"] for refusal in refusals]
    assert fields == ["input.sampling.top_k", "questions[0].labels[1]"] * len(PROTOCOLS)
    assert all(refusal["requestId"] in server.log for refusal in refusals)


def test_deciding_counting_and_the_model_are_those_of_grpc(
    server: ServerProcess, client: Path
) -> None:
    (told,) = Node(client, server, "others")
    labels = ("0", "1", "2", "3")
    request = deciding(
        "count the letter a in ", question(labels, "banana"), question(labels, "cat")
    )
    decided = server.stub.Decide(request).decisions
    scores = [decision.scores[decision.best_index] for decision in decided]
    assert [best["label"] for best in told["best"]] == [score.label for score in scores]
    assert [best["logProbability"] for best in told["best"]] == pytest.approx(
        [score.log_probability for score in scores]
    )
    count = model_pb2.CountTokensRequest(prompt=asking(COUNT).prompt)
    assert told["tokens"] == server.stub.CountTokens(count).token_count
    assert (told["name"], told["canvasLength"]) == ("palimpsest-tiny", 64)


def test_a_conversation_is_answered(server: ServerProcess, client: Path) -> None:
    (told,) = Node(client, server, "chat")
    assert told["text"] == "mrots"


@pytest.mark.parametrize("scenario", ["abort", "leave"])
def test_who_aborts_or_leaves_leaves_nothing_in_flight(
    server: ServerProcess, client: Path, scenario: str
) -> None:
    told = list(Node(client, server, scenario))
    assert [event["protocol"] for event in told] == PROTOCOLS
    assert all(event.get("code", "canceled") == "canceled" for event in told)
    # Only one request runs at a time, so this one has waited for the others to go.
    generate(server, asking(REVERSE))
    for protocol in PROTOCOLS:
        assert f"request_id={scenario}-{protocol} status=CANCELLED" in server.log


def test_an_answer_whose_engine_was_killed_goes_on_to_the_same_text(
    server: ServerProcess, client: Path
) -> None:
    sampling = sampling_pb2.SamplingParameters(
        seed=7, max_denoising_steps=24, confidence_threshold=0.0
    )
    whole = generate(server, asking(COUNT, sampling))
    commits = []
    for event in Node(client, server, "resume"):
        if event["kind"] == "commit":
            commits.append(event)
        if event["kind"] == "commit" and len(commits) == 1:
            (engine,) = server.engine_pids()
            os.kill(engine, signal.SIGKILL)
    assert "the engine process ended" in server.log
    assert "".join(commit["textDelta"] for commit in commits) == whole.text
    assert [commit["canvasIndex"] for commit in commits] == list(range(len(commits)))
