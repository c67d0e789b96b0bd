"""The drafts of one stream as messages: each whole, or as what differs from the last one sent."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.server.exchange import Preview, PreviewMode, Snapshot
from palimpsest.v1 import canvas_pb2


class DraftWriter:
    """Every snapshot that it writes is taken to be sent."""

    def __init__(self, preview: Preview | None) -> None:
        """`preview` says what of a draft was asked for."""
        self._preview = preview
        self._sent: dict[int, tuple[int, int, canvas_pb2.TokenKeyframe]] = {}
        """By candidate: canvas, sequence and tokens of its last draft."""

    def write(self, event: Snapshot, snapshot: canvas_pb2.CanvasSnapshot) -> None:
        """Fills in the draft of `event`, as far as one is shown."""
        if event.text is not None:
            snapshot.text, snapshot.thought = event.text, event.thought
        elif self._preview is not None and self._preview.mode is PreviewMode.TOKENS:
            whole = _keyframe(event, self._preview)
            change = self._change(event, whole) if self._preview.deltas else None
            if change is not None and change.ByteSize() < whole.ByteSize():
                snapshot.delta.CopyFrom(change)
            else:
                snapshot.keyframe.CopyFrom(whole)
            self._sent[event.candidate_index] = (event.step.canvas_index, event.sequence, whole)

    def _change(
        self, event: Snapshot, whole: canvas_pb2.TokenKeyframe
    ) -> canvas_pb2.TokenDelta | None:
        """From the draft before it, if that was of the same canvas."""
        canvas, sequence, before = self._sent.get(event.candidate_index, (None, 0, whole))
        if canvas != event.step.canvas_index:
            return None
        return delta(before, whole, base_sequence=sequence)


def delta(
    before: canvas_pb2.TokenKeyframe, after: canvas_pb2.TokenKeyframe, *, base_sequence: int
) -> canvas_pb2.TokenDelta:
    """What makes `after` of `before`, which was sent as `base_sequence`; both show the same."""
    shown = (
        (before.token_ids, after.token_ids),
        (before.confidence, after.confidence),
        (before.entropy, after.entropy),
    )  # texts follow from ids
    columns = [(list(old), list(new)) for old, new in shown if new]
    places = [
        place
        for place in range(len(after.token_ids))
        if any(old[place] != new[place] for old, new in columns)
    ]
    return canvas_pb2.TokenDelta(
        base_sequence=base_sequence,
        changed_mask=_mask(places, len(after.token_ids)),
        token_ids=[after.token_ids[place] for place in places],
        confidence=bytes(after.confidence[place] for place in places if after.confidence),
        accepted_mask=after.accepted_mask,
        entropy=bytes(after.entropy[place] for place in places if after.entropy),
        token_texts=[after.token_texts[place] for place in places if after.token_texts],
    )


def _keyframe(event: Snapshot, preview: Preview) -> canvas_pb2.TokenKeyframe:
    draft = event.step.draft
    assert draft is not None, "the engine was asked for drafts"
    return canvas_pb2.TokenKeyframe(
        token_ids=draft.token_ids,
        token_texts=event.token_texts,
        confidence=draft.confidence if preview.confidence else b"",
        accepted_mask=draft.accepted_mask if preview.accepted_mask else b"",
        entropy=draft.entropy if preview.entropy else b"",
    )


def _mask(places: Sequence[int], length: int) -> bytes:
    """Bit i, least significant first, is set for each of `places`."""
    return sum(1 << place for place in places).to_bytes(-(-length // 8), "little")
