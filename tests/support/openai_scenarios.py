"""What OpenAI's own clients get of a server: each plays the scenarios of tests/server/openai."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from server_process import ServerProcess

FOLDER = Path(__file__).parents[1] / "server/openai"
PACKAGE = FOLDER / "node_modules/openai/package.json"
KEY = "key-of-the-scenarios"
FLAGS = ("--max-num-seqs", "1")
ENVIRONMENT = {"PALIMPSEST_API_KEY": KEY}
"""What the server is started with."""
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "Python": (sys.executable, "scenarios.py"),
    "Node": ("node", "scenarios.mjs"),
}


def played(server: ServerProcess, client: str) -> dict[str, str]:
    """Results by requests. Raises CalledProcessError for a client that fails; it says why."""
    program, script = PROGRAMS[client]
    run = subprocess.run(
        [program, FOLDER / script],
        env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = map(json.loads, run.stdout.splitlines())
    return {line["request"]: line["result"] for line in lines}
