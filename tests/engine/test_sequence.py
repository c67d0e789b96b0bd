"""One request from its prompt to its end: lengths, end tokens, the end of the context, events."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from reference import watching
from replay import answer, ending, random_prompt, run, submit
from torch import Tensor

from palimpsest.engine.engine import Engine
from palimpsest.engine.events import (
    Committed,
    Encoded,
    Event,
    Finished,
    FinishReason,
    Stepped,
    Usage,
)
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import NoiseKey
from palimpsest.engine.sampling import Sampling

C = 32
PROMPT = random_prompt(20)
ENDLESS = 3 * C


def generate(model: LoadedModel, count: int = ENDLESS, *, seed: int = 0) -> list[Event]:
    sampling = Sampling(max_output_tokens=count, seed=seed, max_denoising_steps=2)
    return run(Engine(model), [submit(PROMPT, sampling)])


def tokens_new_at(calm: Pair, position: int) -> tuple[list[int], int]:
    """Three canvases, and the seed of them, whose token at `position` does not occur before."""
    for seed in itertools.count():
        tokens = answer(generate(calm.ending_at(), seed=seed))
        if tokens[position] not in tokens[:position]:
            return tokens, seed
    raise AssertionError


@pytest.mark.parametrize("count", [1, C - 1, C, C + 1, 2 * C, ENDLESS])
def test_an_answer_without_end_has_exactly_the_asked_length(calm: Pair, count: int) -> None:
    events = generate(calm.ending_at(), count)
    assert answer(events) == answer(generate(calm.ending_at()))[:count]
    canvases = -(-count // C)
    usage = Usage(
        prompt_tokens=len(PROMPT),
        output_tokens=count,
        cached_prompt_tokens=0,
        canvases=canvases,
        denoising_steps=2 * canvases,
    )
    assert ending(events) == Finished(request_id=1, reason=FinishReason.LENGTH, usage=usage)


@pytest.mark.parametrize("position", [0, 5, C - 1, C, C + 7, 2 * C])
def test_an_answer_ends_before_its_first_end_token(calm: Pair, position: int) -> None:
    tokens, seed = tokens_new_at(calm, position)
    events = generate(calm.ending_at(tokens[position]), seed=seed)
    assert answer(events) == tokens[:position]
    assert ending(events).reason is FinishReason.STOP
    assert ending(events).usage.output_tokens == position
    assert ending(events).usage.canvases == position // C + 1


def test_the_first_of_several_end_tokens_counts(calm: Pair) -> None:
    tokens, seed = tokens_new_at(calm, 9)
    earlier = next(i for i in range(3, 9) if tokens[i] not in tokens[:i])
    events = generate(calm.ending_at(tokens[9], tokens[earlier]), seed=seed)
    assert answer(events) == tokens[:earlier]


@pytest.mark.parametrize(
    ("count", "reason"),
    [(8, FinishReason.LENGTH), (9, FinishReason.STOP), (10, FinishReason.STOP)],
)
def test_an_end_token_just_past_the_limit_still_ends_the_answer_by_itself(
    calm: Pair, count: int, reason: FinishReason
) -> None:
    tokens, seed = tokens_new_at(calm, 9)
    events = generate(calm.ending_at(tokens[9]), count, seed=seed)
    assert answer(events) == tokens[: min(count, 9)]
    assert ending(events).reason is reason


def test_no_canvas_is_denoised_only_to_look_for_an_end_token(calm: Pair) -> None:
    tokens, seed = tokens_new_at(calm, C)
    events = generate(calm.ending_at(tokens[C]), C, seed=seed)
    assert ending(events).reason is FinishReason.LENGTH
    assert ending(events).usage.canvases == 1


@pytest.mark.parametrize(
    ("room", "canvases"), [(C, 1), (2 * C - 1, 1), (2 * C, 2), (3 * C - 1, 2), (3 * C, 3)]
)
def test_the_answer_ends_where_no_further_canvas_fits_the_context(
    calm: Pair, room: int, canvases: int
) -> None:
    model = calm.ending_at()
    limits = replace(model.limits, max_context_tokens=len(PROMPT) + room)
    events = generate(replace(model, limits=limits), 10 * C)
    assert ending(events).usage.canvases == canvases
    assert ending(events).reason is FinishReason.LENGTH
    assert len(answer(events)) == canvases * C


def kinds(events: list[Event]) -> list[tuple[str, int | None]]:
    return [(type(event).__name__, getattr(event, "canvas_index", None)) for event in events]


def test_events_come_in_order_and_the_last_canvas_is_never_encoded(calm: Pair) -> None:
    events = generate(calm.ending_at(), 2 * C)
    assert kinds(events) == [
        ("Encoded", None),
        ("Stepped", 0),
        ("Stepped", 0),
        ("Committed", 0),
        ("Encoded", 0),
        ("Stepped", 1),
        ("Stepped", 1),
        ("Committed", 1),
        ("Finished", None),
    ]
    assert [event.token_count for event in events if isinstance(event, Encoded)] == [20, C]


def test_an_end_token_in_the_first_canvas_means_no_commit(calm: Pair) -> None:
    tokens, seed = tokens_new_at(calm, 5)
    events = generate(calm.ending_at(tokens[5]), seed=seed)
    assert Counter(name for name, _ in kinds(events))["Encoded"] == 1


def test_the_last_commit_and_the_end_come_in_one_frame(calm: Pair) -> None:
    engine = Engine(calm.ending_at())
    sampling = Sampling(max_output_tokens=C, seed=0, max_denoising_steps=2)
    frames = [engine.step([submit(PROMPT, sampling)])]
    while engine.busy:
        frames.append(engine.step([]))
    assert [name for name, _ in kinds(list(frames[-1]))] == ["Stepped", "Committed", "Finished"]


def test_times_do_not_run_backwards(calm: Pair) -> None:
    events = [e for e in generate(calm.ending_at()) if isinstance(e, Encoded | Stepped)]
    assert all(event.start_ns < event.end_ns for event in events)
    for stamps in ([e.start_ns for e in events], [e.end_ns for e in events]):
        assert stamps == sorted(stamps)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert all(one.end_ns <= after.start_ns for one, after in itertools.pairwise(steps))


def test_a_commit_spans_its_steps(calm: Pair) -> None:
    events = generate(calm.ending_at())
    for commit in (event for event in events if isinstance(event, Committed)):
        steps = [
            event
            for event in events
            if isinstance(event, Stepped) and event.canvas_index == commit.canvas_index
        ]
        assert [step.step for step in steps] == list(range(1, commit.steps + 1))
        assert (commit.start_ns, commit.end_ns) == (steps[0].start_ns, steps[-1].end_ns)
        assert not commit.converged


def test_a_draft_shows_tokens_confidence_and_what_was_accepted(calm: Pair) -> None:
    steps = [event for event in generate(calm.ending_at()) if isinstance(event, Stepped)]
    for step in steps:
        assert step.draft is not None
        assert len(step.draft.token_ids) == len(step.draft.confidence) == C
        assert len(step.draft.accepted_mask) == C // 8
        bits = int.from_bytes(step.draft.accepted_mask, "little")
        assert bits.bit_count() == step.accepted_count >= 1
        assert step.batch_size == 1


def test_the_mask_of_a_draft_names_the_positions_that_were_accepted(calm: Pair) -> None:
    """Accepted positions keep their draw, the others get the next noise."""

    class Marked:
        """Draws 1 everywhere and renoises with 0, so that the next canvas shows the mask."""

        def step(self, keys: Sequence[NoiseKey], *, length: int) -> Marked:
            return self

        def draw(self, probabilities: Tensor, rows: slice) -> Tensor:
            return torch.ones(len(probabilities), dtype=torch.int64)

        def renoise(self) -> Tensor:
            return torch.zeros(1, C, dtype=torch.int64)

    engine = Engine(calm.ending_at(), noise=Marked())
    sampling = Sampling(max_output_tokens=C, seed=0, max_denoising_steps=3, entropy_bound=30.0)
    with watching(calm.model.network.embed_tokens) as (calls,):
        frames = [engine.step([submit(PROMPT, sampling)]), engine.step([]), engine.step([])]
    steps = [event for frame in frames for event in frame if isinstance(event, Stepped)]
    for before, after in itertools.pairwise(range(3)):
        event, seen = steps[before], calls[after].inputs[0][-C:].tolist()
        assert event.draft is not None
        bits = int.from_bytes(event.draft.accepted_mask, "little")
        assert [bits >> i & 1 for i in range(C)] == seen
        assert 0 < sum(seen) < C


def test_drafts_are_left_out_unless_asked_for_and_change_nothing(calm: Pair) -> None:
    sampling = Sampling(max_output_tokens=C, seed=0, max_denoising_steps=2)
    quiet = run(Engine(calm.ending_at()), [submit(PROMPT, sampling, drafts=False)])
    assert all(event.draft is None for event in quiet if isinstance(event, Stepped))
    assert answer(quiet) == answer(generate(calm.ending_at(), C))


def test_a_step_tells_how_long_its_canvas_waited_for_it(calm: Pair) -> None:
    events = [e for e in generate(calm.ending_at(), seed=3) if isinstance(e, Stepped)]
    for before, step in itertools.pairwise(events):
        if step.step == 1:
            assert step.queue_ns is None
        else:
            assert step.queue_ns == step.start_ns - before.end_ns
    assert any(step.step > 1 for step in events)
