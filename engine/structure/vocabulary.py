"""What each token of a checkpoint writes, in bytes. Loads no torch and no tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space in the pieces of the tokenizer."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_DECODERS = {"Replace", "ByteFallback", "Fuse"}


class Vocabulary:
    """The tokens that stand for text; special tokens write nothing and are no part of it."""

    def __init__(self, pieces: dict[int, bytes]) -> None:
        """`pieces` are the bytes of each token, none of them empty."""
        self.pieces = pieces
        self.longest = max(map(len, pieces.values()), default=0)
        """Bytes of the longest token."""
        self.ids: dict[bytes, int] = {}
        """Of several tokens with the same bytes the one with the highest id: tokens of single
        bytes, which tokenizers write only if nothing else fits, come first."""
        for token in sorted(pieces):
            self.ids[pieces[token]] = token

    @classmethod
    def of(cls, folder: Path) -> Vocabulary:
        """Of a checkpoint. Empty if it has no tokenizer, or one that does not write as Gemma's
        does: pieces with a mark for spaces, and bytes.
        """
        try:
            tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            decoders = {part["type"] for part in tokenizer["decoder"]["decoders"]}
        except (OSError, ValueError, KeyError, TypeError):
            return cls({})
        return cls(_pieces(tokenizer) if decoders == _DECODERS else {})


def _pieces(tokenizer: dict[str, Any]) -> dict[int, bytes]:
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    known = {**tokenizer["model"]["vocab"], **added}
    return {
        token: _written(piece) for piece, token in known.items() if piece and token not in special
    }


def _written(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes.fromhex(byte[1]) if byte else piece.replace(_SPACE, " ").encode()
