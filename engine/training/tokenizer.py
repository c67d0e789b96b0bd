"""The bundled model's tokenizer: byte-pair encoding with Gemma 4's special tokens at Gemma 4's ids.

The alphabet is printable ASCII with byte fallback for the rest. Its few merges never cross letters
inside a line, because the skills are about single letters: they join punctuation with its spaces,
and read role names and the keys of tool declarations from their end backwards ("user\\n",
"description:"), so words stay spelled out.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from palimpsest.engine.vision.expansion import PictureTokens

VOCABULARY_SIZE = 512
SPECIAL_TOKENS = {
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
    "<|image>": 508,
    "<|image|>": 509,
    "<image|>": 510,
    "<|video|>": 511,
}
PICTURES = PictureTokens(begin=508, image=509, end=510, video=511)
NEWLINE_ID = 107
SPACE = "▁"
_SYMBOLS = [":", ",", ".", "?", "!", ";"]
_OPERATORS = ["=", "×", "+", "-", "→"]
_KEYS = ["declaration:", "description:", "parameters:{", "properties:{", "required:[", "type:"]
_KEYS += ["response:", "call:"]
_ROLES = ["user\n", "model\n", "system\n", "thought\n"]


def build() -> Tokenizer:
    """The tokenizer, made from rules alone: the same on every machine."""
    vocabulary, merges = _vocabulary()
    tokenizer = Tokenizer(
        BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    specials = [AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS]
    tokenizer.add_special_tokens(specials)
    return tokenizer


def save(folder: Path, template: str) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja as published
    checkpoints do.
    """
    build().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "padding_side": "left",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    merges = [pair for role in _ROLES for pair in _backwards(role)]
    merges += [(symbol, SPACE) for symbol in _SYMBOLS]
    merges += [pair for sign in _OPERATORS for pair in ((SPACE, sign), (SPACE + sign, SPACE))]
    merges += list(dict.fromkeys(pair for key in _KEYS for pair in _backwards(key)))
    visible = [c for c in string.printable[:94] if c != " "]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [*visible, SPACE, *(sign for sign in _OPERATORS if sign not in visible)]
    pieces += ["".join(pair) for pair in merges]
    taken = {**SPECIAL_TOKENS, "\n": NEWLINE_ID}
    # Gemma keeps ids below the line break's for special tokens, so those are taken last
    ids = [*range(NEWLINE_ID, VOCABULARY_SIZE), *range(NEWLINE_ID)]
    free = iter([index for index in ids if index not in taken.values()])
    vocabulary = taken | {piece: next(free) for piece in dict.fromkeys(pieces)}
    unused = sorted(set(range(VOCABULARY_SIZE)) - set(vocabulary.values()))
    vocabulary |= {f"<unused{index}>": index for index in unused}
    return dict(sorted(vocabulary.items(), key=lambda entry: entry[1])), merges


def _backwards(word: str) -> list[tuple[str, str]]:
    """Merges that build `word` from its end: r\\n, er\\n, ser\\n, user\\n."""
    return [(word[i], word[i + 1 :]) for i in range(len(word) - 2, -1, -1)]
