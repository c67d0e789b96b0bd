"""The bundled model's tokenizer: Gemma's ids, spelled words, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.engine.training import tokenizer

GEMMA_IDS = {
    "<pad>": 0,
    "<eos>": 1,
    "<bos>": 2,
    "<unk>": 3,
    "<mask>": 4,
    "<|tool>": 46,
    "<tool|>": 47,
    "<|tool_call>": 48,
    "<tool_call|>": 49,
    "<|tool_response>": 50,
    "<tool_response|>": 51,
    '<|"|>': 52,
    "<|think|>": 98,
    "<|channel>": 100,
    "<channel|>": 101,
    "<|turn>": 105,
    "<turn|>": 106,
    "\n": 107,
}
BUILT = tokenizer.build()


@pytest.mark.parametrize(("token", "wanted"), GEMMA_IDS.items(), ids=repr)
def test_special_tokens_have_gemma_s_ids(token: str, wanted: int) -> None:
    assert BUILT.token_to_id(token) == wanted
    assert BUILT.encode(token).ids == [wanted]


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12))
def test_words_are_spelled_letter_by_letter(word: str) -> None:
    assert BUILT.encode(word).tokens == list(word)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁")))
def test_any_text_comes_back(text: str) -> None:
    ids = BUILT.encode(text, add_special_tokens=False).ids

    if any(token in text for token in tokenizer.SPECIAL_TOKENS):
        return
    assert BUILT.decode(ids) == text


def test_role_names_and_operators_are_one_token() -> None:
    assert BUILT.encode("user\n").tokens == ["user\n"]
    assert BUILT.encode("7 × 8").tokens == ["7", "▁×▁", "8"]


def test_the_bundled_files_are_what_the_script_writes(bundled_folder: Path, tmp_path: Path) -> None:
    template = (bundled_folder / "chat_template.jinja").read_text(encoding="utf-8")
    tokenizer.save(tmp_path, template)

    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_bytes()) == json.loads(
            (bundled_folder / name).read_bytes()
        )
