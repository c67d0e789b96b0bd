"""Log-probabilities with tokens as text and bytes, in the two layouts that the APIs have.

All tokens of an answer are told, those of thoughts and calls too, special ones by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palimpsest.engine.api import TextCodec, TokenLogprobs

Position = tuple[int, TokenLogprobs]
"""A token of an answer and what is known of its place."""


class TokenTexts:
    """What tokens say, each by itself."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._pieces = codec.vocabulary.pieces

    def bytes_of(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        # special tokens, and vocabularies whose bytes are not known
        return piece or self._codec.decode_verbatim((token,)).encode()

    def text(self, token: int) -> str:
        """Parts of a character show as U+FFFD."""
        return self.bytes_of(token).decode(errors="replace")


def chat_logprobs(positions: Sequence[Position], texts: TokenTexts) -> dict[str, Any]:
    """Of chat completions."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        written = texts.bytes_of(token)
        return {"token": texts.text(token), "logprob": logprob, "bytes": list(written)}

    content = [
        {**entry(token, known.logprob), "top_logprobs": [entry(*other) for other in known.top]}
        for token, known in positions
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(
    positions: Sequence[Position], texts: TokenTexts, *, offset: int
) -> dict[str, Any]:
    """Of completions; `offset` is how many characters the tokens before had."""
    tokens = [texts.text(token) for token, _ in positions]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [known.logprob for _, known in positions],
        "top_logprobs": [
            {texts.text(t): value for t, value in known.top} for _, known in positions
        ],
        "text_offset": offsets,
    }
