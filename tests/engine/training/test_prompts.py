"""What is trained on is what is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from palimpsest.engine.text import TextCodec
from palimpsest.engine.training import tokenizer
from palimpsest.engine.training.batches import render

TURNS: list[list[tuple[str, str]]] = [[], [("reverse the word: abc", "cba")]]


@pytest.mark.parametrize("turns", TURNS)
def test_training_prompts_are_those_of_the_chat_template(
    bundled_folder: Path, turns: list[tuple[str, str]]
) -> None:
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    messages.append({"role": "user", "content": "what is 2 + 3?"})
    trained = tokenizer.build().encode(render(turns, "what is 2 + 3?")).ids
    assert TextCodec(bundled_folder).encode_chat(messages) == trained
