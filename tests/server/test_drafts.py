"""Drafts on the wire: whole, or as what differs from the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calls import COUNT, TOKENS, asking, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

from palimpsest.engine.api import Draft, Stepped
from palimpsest.server.drafts import DraftWriter
from palimpsest.server.exchange import Preview, PreviewMode, Snapshot
from palimpsest.server.mailbox import Pace
from palimpsest.v1 import canvas_pb2, sampling_pb2

LENGTH = 13
"""Not whole bytes of a mask."""
ALL = Preview(
    mode=PreviewMode.TOKENS,
    pace=Pace(every_n_steps=1, max_rate_hz=30.0),
    confidence=True,
    accepted_mask=True,
    entropy=True,
    token_texts=True,
    deltas=True,
)
FIFTY_STEPS = sampling_pb2.SamplingParameters(
    seed=1, max_denoising_steps=50, confidence_threshold=0.0, max_output_tokens=64
)
positions = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))
canvases = st.lists(positions, min_size=LENGTH, max_size=LENGTH)


def shown(
    canvas: Sequence[tuple[int, int, int]], sequence: int, index: int = 0, candidate: int = 0
) -> Snapshot:
    tokens, confidence, entropy = zip(*canvas, strict=True)
    draft = Draft(
        token_ids=tokens,
        confidence=bytes(confidence),
        accepted_mask=bytes([sequence % 256, sequence % 32]),
        entropy=bytes(entropy),
    )
    step = Stepped(
        request_id=1,
        canvas_index=index,
        step=1,
        start_ns=0,
        end_ns=1,
        batch_size=1,
        temperature=0.8,
        accepted_count=1,
        changed_count=1,
        mean_entropy=1.0,
        draft=draft,
    )
    texts = tuple(f"<{token}>" for token in tokens)
    return Snapshot(
        sequence=sequence,
        step=step,
        max_denoising_steps=8,
        token_texts=texts,
        candidate_index=candidate,
    )


def written(writer: DraftWriter, event: Snapshot) -> canvas_pb2.CanvasSnapshot:
    snapshot = canvas_pb2.CanvasSnapshot()
    writer.write(event, snapshot)
    return snapshot


def applied(
    base: canvas_pb2.TokenKeyframe, delta: canvas_pb2.TokenDelta
) -> canvas_pb2.TokenKeyframe:
    """As the contract says."""
    mask = int.from_bytes(delta.changed_mask, "little")
    places = [place for place in range(len(base.token_ids)) if mask >> place & 1]

    def patched(old: Sequence, new: Sequence) -> list:
        values = list(old)
        for place, value in zip(places, new, strict=bool(values)):
            values[place] = value
        return values

    return canvas_pb2.TokenKeyframe(
        token_ids=patched(base.token_ids, delta.token_ids),
        confidence=bytes(patched(base.confidence, delta.confidence)),
        accepted_mask=delta.accepted_mask,
        entropy=bytes(patched(base.entropy, delta.entropy)),
        token_texts=patched(base.token_texts, delta.token_texts),
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), canvases), min_size=1, max_size=8))
def test_every_draft_can_be_made_whole_from_those_before(
    drafts: list[tuple[int, list[tuple[int, int, int]]]],
) -> None:
    changing, always_whole = DraftWriter(ALL), DraftWriter(replace(ALL, deltas=False))
    sent: dict[int, canvas_pb2.TokenKeyframe] = {}
    for sequence, (candidate, canvas) in enumerate(drafts, start=1):
        event = shown(canvas, sequence, candidate=candidate)
        snapshot = written(changing, event)
        whole = written(always_whole, event).keyframe
        if snapshot.HasField("delta"):
            sent[sequence] = applied(sent[snapshot.delta.base_sequence], snapshot.delta)
            assert snapshot.delta.ByteSize() < whole.ByteSize()
        else:
            sent[sequence] = snapshot.keyframe
        assert sent[sequence] == whole


def test_a_draft_that_hardly_differs_is_sent_as_its_difference() -> None:
    writer, canvas = DraftWriter(ALL), [(1, 200, 3)] * LENGTH
    assert written(writer, shown(canvas, 1)).HasField("keyframe")
    change = written(writer, shown([*canvas[:-1], (2, 200, 3)], 2)).delta
    assert (change.base_sequence, list(change.token_ids)) == (1, [2])
    assert change.changed_mask == bytes([0, 1 << 4])


def test_a_canvas_begins_with_a_whole_draft() -> None:
    writer, canvas = DraftWriter(ALL), [(1, 200, 3)] * LENGTH
    written(writer, shown(canvas, 1))
    assert written(writer, shown(canvas, 2, index=1)).HasField("keyframe")


def test_a_stream_with_differences_shows_the_drafts_of_one_without(server: ServerProcess) -> None:
    """Readers may miss drafts, so those that came in both are compared."""
    whole = {
        (s.canvas_index, s.step): s.keyframe for s, _ in _snapshots(server, allow_deltas=False)
    }
    sent: dict[int, canvas_pb2.TokenKeyframe] = {}
    deltas = 0
    for snapshot, sequence in _snapshots(server, allow_deltas=True):
        if snapshot.HasField("delta"):
            deltas += 1
            sent[sequence] = applied(sent[snapshot.delta.base_sequence], snapshot.delta)
        else:
            sent[sequence] = snapshot.keyframe
        wanted = whole.get((snapshot.canvas_index, snapshot.step))
        assert wanted is None or sent[sequence] == wanted
    assert deltas


def _snapshots(
    server: ServerProcess, *, allow_deltas: bool
) -> list[tuple[canvas_pb2.CanvasSnapshot, int]]:
    preview = canvas_pb2.PreviewOptions(
        mode=TOKENS, max_rate_hz=1_000, include_token_texts=True, allow_deltas=allow_deltas
    )
    return [
        (event.snapshot, event.sequence)
        for event in stream(server, asking(COUNT, FIFTY_STEPS), preview)
        if event.HasField("snapshot")
    ]
