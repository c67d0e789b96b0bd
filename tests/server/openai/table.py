"""Prints what OpenAI's own clients get of a server, as a table in Markdown: `make openai`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from openai_scenarios import ENVIRONMENT, FLAGS, PROGRAMS, played
from server_process import start_server


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder) / "log", *FLAGS, environment=ENVIRONMENT)
        results = {client: played(server, client) for client in PROGRAMS}
        server.stop()
    print(f"| request | {' | '.join(results)} |")
    print("|---" * (1 + len(results)) + "|")
    for request in results["Python"]:
        cells = [results[client][request] for client in results]
        print(f"| {request} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
