"""Reads an answer canvas by canvas, up to its first stop sequence: what it says, and which of its
tokens say it.

Knows no wire format.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from palimpsest.engine.api import TextCodec
from palimpsest.server.exchange import ContentSpan
from palimpsest.server.parsing import OutputParser, Pieces
from palimpsest.server.stopping import StopFinder


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What of a canvas belongs to the answer."""

    token_ids: tuple[int, ...]
    pieces: Pieces


class Reader:
    """One answer; `parsing.OutputParser` says what its tokens mean."""

    def __init__(
        self,
        codec: TextCodec,
        prompt_ids: Sequence[int],
        *,
        known_call_ids: Collection[str] = (),
        stop_sequences: Sequence[str] = (),
    ) -> None:
        """As OutputParser; the answer ends before the first of `stop_sequences` in its text."""
        self._new_parser = partial(OutputParser, codec, prompt_ids, known_call_ids=known_call_ids)
        self._parser = self._new_parser()
        self._finder = StopFinder(stop_sequences)
        self._before: list[int] = []
        """The tokens of all canvases before the one that is pushed."""

    @property
    def stop_sequence(self) -> str | None:
        """The sequence that ended the answer, if one has; nothing is pushed after it."""
        return self._finder.found

    @property
    def call_count(self) -> int:
        """Calls so far."""
        return self._parser.call_count

    @property
    def thinking_tokens(self) -> int:
        """Tokens of thought so far, markers included."""
        return self._parser.thinking_tokens

    def push(self, token_ids: Sequence[int], *, final: bool) -> Reading:
        """What becomes final with a canvas; `final` says that it is the answer's last."""
        pieces = self._parser.push(token_ids, final=final)
        held, written = self._finder.held_count, pieces.text
        pieces.text = self._finder.push(written, final=final)
        if self._finder.found is None:
            self._before += token_ids
            return Reading(token_ids=tuple(token_ids), pieces=pieces)
        # negative where the sequence begins in what was held back of an earlier canvas
        cut = len(pieces.text) - held
        kept = token_ids[: self._count_before(token_ids, written[:cut])] if cut >= 0 else ()
        self._parser, said = self._read_again(kept)
        # thoughts and calls behind the cut are no part of the answer
        said.text = pieces.text
        return Reading(token_ids=tuple(kept), pieces=said)

    def draft(self, token_ids: Sequence[int]) -> Pieces:
        """What a draft of the next canvas says by itself, its text up to a stop sequence."""
        pieces = self._parser.draft(token_ids)
        pieces.text = self._finder.draft(pieces.text)
        return pieces

    def spans(self, token_ids: Sequence[int]) -> tuple[ContentSpan, ...]:
        """Which positions of a draft are not plain text."""
        return self._parser.spans(token_ids)

    def _count_before(self, token_ids: Sequence[int], text: str) -> int:
        """Tokens up to the one in which what follows `text` begins; with it, if in its middle."""

        def says(count: int) -> str:
            parser, pieces = self._read_again(token_ids[:count])
            return pieces.text + parser.unsettled()

        def goes_on(count: int) -> bool:
            said = says(count)
            return len(said) > len(text) and said.startswith(text)

        count = bisect_left(range(len(token_ids) + 1), True, key=goes_on)
        if count and says(count - 1) == text:
            return count - 1
        return count

    def _read_again(self, token_ids: Sequence[int]) -> tuple[OutputParser, Pieces]:
        """The first tokens of a canvas, as if nothing were known of those after them."""
        parser = self._new_parser()
        parser.push(self._before, final=False)
        return parser, parser.push(token_ids, final=False)
