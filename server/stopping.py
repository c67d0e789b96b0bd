"""Finds the stop sequences of a request in the text of its answer, while that arrives.

However the text is divided, the answer is cut at the same place. Knows no tokens and no wire
format.
"""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.engine.api import InvalidRequest

MAX_SEQUENCES = 16
MAX_SEQUENCE_BYTES = 256
"""Of each, in UTF-8; at least 1."""


def check_sequences(sequences: Sequence[str]) -> None:
    """Raises InvalidRequest on `sampling.stop_sequences`, naming value and bound."""
    field = "sampling.stop_sequences"
    if len(sequences) > MAX_SEQUENCES:
        raise InvalidRequest(field, f"{len(sequences)} sequences are above {MAX_SEQUENCES}")
    for index, sequence in enumerate(sequences):
        size = len(sequence.encode())
        if not 1 <= size <= MAX_SEQUENCE_BYTES:
            reason = f"{size} bytes of sequence {index} are outside 1 to {MAX_SEQUENCE_BYTES}"
            raise InvalidRequest(field, reason)


class StopFinder:
    """Lets the text of an answer pass up to the first stop sequence: the one that begins first."""

    def __init__(self, sequences: Sequence[str]) -> None:
        """Without sequences all text passes as it comes."""
        self._sequences = sequences
        self._longest = max(map(len, sequences), default=0)
        self._held = ""
        self.found: str | None = None
        """The sequence that ended the answer; no text comes after it."""

    @property
    def held_count(self) -> int:
        """Characters that wait until it is known whether they begin a stop sequence."""
        return len(self._held)

    def push(self, text: str, *, final: bool) -> str:
        """The text that may be sent now; `final` says that it is the answer's last."""
        text = self._held + text
        undecided = len(text) if final else self._possible_start(text)
        match = self._first(text)
        # one that begins earlier may still become whole
        if match is not None and match[0] <= undecided:
            undecided, self.found = match
            self._held = ""
        else:
            self._held = text[undecided:]
        return text[:undecided]

    def draft(self, text: str) -> str:
        """As much of text that may still change as would be sent if it were final."""
        match = self._first(self._held + text)
        return text if match is None else text[: max(match[0] - len(self._held), 0)]

    def _first(self, text: str) -> tuple[int, str] | None:
        """Where the first sequence begins, and which one it is."""
        places = ((text.find(sequence), sequence) for sequence in self._sequences)
        return min((found for found in places if found[0] >= 0), default=None)

    def _possible_start(self, text: str) -> int:
        """Where the first sequence that the next text may complete begins; else the text's end."""
        for start in range(max(len(text) - self._longest + 1, 0), len(text)):
            if any(sequence.startswith(text[start:]) for sequence in self._sequences):
                return start
        return len(text)
