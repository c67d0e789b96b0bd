"""The parts of an answer and where they meet: markers, told by their token ids.

The same characters in ordinary tokens are no markers. Knows no canvas and no wire format.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palimpsest.engine.api import Marker, TextCodec


class Part(enum.Enum):
    """What a stretch of an answer is."""

    TEXT = enum.auto()
    THOUGHT = enum.auto()
    CALL = enum.auto()
    RESULT = enum.auto()
    """Of a call, made up by the model."""


_OPENING = {Marker.THOUGHT: Part.THOUGHT, Marker.CALL: Part.CALL, Marker.RESULT: Part.RESULT}
_CLOSING = {
    Marker.THOUGHT_END: Part.THOUGHT,
    Marker.CALL_END: Part.CALL,
    Marker.RESULT_END: Part.RESULT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring tokens of one part."""

    part: Part
    start: int
    """Position of the first token, an opening marker included."""
    whole: tuple[int, ...]
    inner: tuple[int, ...]
    """Without the markers."""
    ends: bool
    """Whether the part ends here; if not, it may go on in the next canvas."""


def cut(token_ids: Sequence[int], part: Part, markers: Mapping[int, Marker]) -> list[Run]:
    """Cuts tokens where an opening marker begins a part or its closing marker ends it.

    `part` is what the tokens before them were in the middle of. There is at least one run, and only
    the last does not end.
    """
    if markers.keys().isdisjoint(token_ids):
        # most drafts, and there are many of them
        everything = tuple(token_ids)
        return [Run(part=part, start=0, whole=everything, inner=everything, ends=False)]
    runs: list[Run] = []
    start = 0

    def end(stop: int, *, ends: bool = True) -> None:
        whole = tuple(token_ids[start:stop])
        inner = tuple(token for token in whole if token not in markers)
        runs.append(Run(part=part, start=start, whole=whole, inner=inner, ends=ends))

    for place, token in enumerate(token_ids):
        marker = markers.get(token)
        if marker in _OPENING:
            end(place)
            part, start = _OPENING[marker], place
        elif marker in _CLOSING and _CLOSING[marker] is part:
            end(place + 1)
            part, start = Part.TEXT, place + 1
    end(len(token_ids), ends=False)
    return runs


def opened_thought(codec: TextCodec, prompt_ids: Sequence[int]) -> str | None:
    """What a prompt says in a thought that it leaves open; None if it leaves none open."""
    for place in range(len(prompt_ids) - 1, -1, -1):
        marker = codec.markers.get(prompt_ids[place])
        if marker is Marker.THOUGHT:
            return codec.decode(prompt_ids[place + 1 :])
        if marker not in (None, Marker.QUOTE):
            return None
    return None


def call_segments(codec: TextCodec, call_ids: Sequence[int]) -> list[str]:
    """The text of a call without its markers, cut at its quote tokens."""
    segments: list[list[int]] = [[]]
    for token in call_ids:
        match codec.markers.get(token):
            case Marker.QUOTE:
                segments.append([])
            case Marker.CALL | Marker.CALL_END:
                pass
            case _:
                segments[-1].append(token)
    if Marker.QUOTE in codec.markers.values():
        return [codec.decode_verbatim(segment) for segment in segments]
    # a tokenizer without the token spells it out
    return codec.decode_verbatim(segments[0]).split(Marker.QUOTE.value)
