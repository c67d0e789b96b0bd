"""`python -m palimpsest.engine.training.suites OUT`: held-out questions as suites for `palimpsest
eval`, one file a skill.

The bundled suites are made this way. Ask for more items than they have to measure finer. Pictures
stand in them as data URLs.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palimpsest.engine.training.items import Item, Message, Still, held_out_items
from palimpsest.engine.training.skills import SKILLS

DEFAULT_ITEMS = 200
SEED = 0


def main() -> None:
    arguments = _parser().parse_args()
    write(arguments.out, arguments.skills, count=arguments.items)


def write(folder: Path, skills: list[str], *, count: int) -> None:
    """Writes `count` held-out questions of each skill to FOLDER/SKILL.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for skill in skills:
        items = held_out_items(SKILLS[skill], count, SEED)
        lines = [json.dumps(_line(item), ensure_ascii=False) + "\n" for item in items]
        (folder / f"{skill}.jsonl").write_text("".join(lines), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.training.suites", description=__doc__
    )
    parser.add_argument("out", type=Path, help="folder for the files")
    parser.add_argument("--items", type=int, default=DEFAULT_ITEMS, help="of each skill")
    parser.add_argument("--skills", nargs="+", choices=SKILLS, default=[*SKILLS])
    return parser


def _line(item: Item) -> dict[str, Any]:
    """What is plain stays out, so that the files are short and easy to read."""
    line: dict[str, Any] = {}
    if item.media:
        line |= _shown(item)
    elif len(item.messages) == 1:
        line["prompt"] = item.messages[0]["content"]
    else:
        line["messages"] = [_message(message) for message in item.messages]
    if item.tools:
        line["tools"] = [tool["function"] for tool in item.tools]
    if item.thinking:
        line["enable_thinking"] = True
    if item.call is None:
        return line | {"expected": item.answer}
    call = {"name": item.call.name, "arguments": item.call.arguments}
    return line | {"expected": [call], "matcher": "tool_calls"}


def _shown(item: Item) -> Mapping[str, Any]:
    """A question about one picture, or about one video that has a frame a second."""
    (message,), (medium,) = item.messages, item.media
    prompt = {"prompt": message["content"][-1]["text"]}
    if isinstance(medium, Still):
        return prompt | {"images": [_url(medium)]}
    return prompt | {"video": [_url(still) for still in medium]}


def _url(still: Still) -> str:
    file = io.BytesIO()
    still.picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _message(message: Message) -> Mapping[str, Any]:
    """As the clients take it."""
    if message["role"] == "tool":
        return {"role": "tool", "name": message["name"], "response": message["content"]}
    if "tool_calls" in message:
        calls = [call["function"] for call in message["tool_calls"]]
        return {"role": message["role"], "tool_calls": calls}
    return message


if __name__ == "__main__":
    main()
