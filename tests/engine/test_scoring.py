"""Log-probabilities of labels: those of the plain network, in any company, after any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from replay import random_prompt, run, submit
from torch import Tensor

from palimpsest.engine import tiles
from palimpsest.engine.commands import CanvasPlan, Submit
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import (
    Committed,
    Encoded,
    Event,
    Finished,
    FinishReason,
    Scored,
    Stepped,
)
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import CounterNoise, NoiseKey
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.scoring import label_scores

LABELS = ((300,), (301,), (302, 303), (304, 305, 306, 307, 308), (302, 304))
TOLERANCE = 1e-4
"""Of logits against the reference, see test_parity_steps.py; and of a handful of them summed."""
COMPANY_TOLERANCE = 8 * 2**-19
"""A few last bits of logits, which the softcap keeps below 32: sums round otherwise where a prompt
is read in other pieces.
"""


def asking(
    prompt: list[int],
    labels: Sequence[tuple[int, ...]] = LABELS,
    *,
    seed: int = 5,
    steps: int = 1,
    length: int | None = 16,
    request_id: int = 1,
    **sampling: object,
) -> Submit:
    settings = Sampling(
        max_output_tokens=64,
        seed=seed,
        max_denoising_steps=steps,
        stability_threshold=steps,
        **sampling,  # type: ignore[arg-type]
    )
    request = submit(prompt, settings, request_id=request_id, drafts=False)
    canvas = CanvasPlan(read_only=True, canvas_length=length)
    return replace(request, labels=tuple(labels), canvas=canvas)


def scores(events: Sequence[Event], request_id: int = 1) -> tuple[float, ...]:
    """Of the labels of a request."""
    [found] = [e for e in events if isinstance(e, Scored) and e.request_id == request_id]
    return found.log_probabilities


def score_alone(model: LoadedModel, request: Submit) -> tuple[float, ...]:
    return scores(run(Engine(model), [request]), request.request_id)


def first_canvas(model: LoadedModel, seed: int, length: int) -> Tensor:
    """The random tokens that the request's canvas starts from."""
    config, limits = model.network.config, model.limits
    noise = CounterNoise(
        length=limits.canvas_length,
        vocabulary_size=config.vocabulary_size,
        device=model.device,
    )
    drawn = noise.step([NoiseKey(seed, 0, 0)], length=limits.canvas_length).renoise()
    return drawn[0, :length]


def by_hand(logits: Tensor, label: Sequence[int], ends: Sequence[int]) -> float:
    """log P of a label, from probabilities in double precision."""
    probabilities = logits.double().softmax(-1)
    product = torch.stack([probabilities[i, token] for i, token in enumerate(label)]).prod()
    return float((product * probabilities[len(label), list(ends)].sum()).log())


@pytest.mark.parametrize("prompt_length", [9, 150])
@pytest.mark.parametrize("length", [16, None])
def test_scores_are_those_of_the_reference_on_the_same_canvas(
    pair: Pair, prompt_length: int, length: int | None
) -> None:
    prompt = random_prompt(prompt_length)
    canvas = first_canvas(pair.model, 5, length or pair.canvas_length)
    with torch.inference_mode():
        seen = pair.reference(
            input_ids=torch.tensor([prompt]), decoder_input_ids=canvas[None]
        ).logits[0]
    ends = sorted(pair.model.limits.end_token_ids)
    told = score_alone(pair.model, asking(prompt, length=length))
    expected = [by_hand(seen, label, ends) for label in LABELS]
    assert told == pytest.approx(expected, rel=0, abs=TOLERANCE)
    assert len(set(told)) == len(LABELS)


def test_labels_are_scored_in_the_last_of_exactly_as_many_steps_as_wanted(bundled: Pair) -> None:
    prompt = random_prompt(20)
    told = {}
    for steps in (1, 2, 5):
        events = run(Engine(bundled.model), [asking(prompt, steps=steps)])
        told[steps] = scores(events)
        assert sum(isinstance(event, Stepped) for event in events) == steps
    assert len(set(told.values())) == 3


def test_a_canvas_that_would_converge_at_once_takes_all_its_steps(bundled: Pair) -> None:
    request = asking(random_prompt(20), steps=6, confidence_threshold=100.0)
    events = run(Engine(bundled.model), [request])
    assert sum(isinstance(event, Stepped) for event in events) == 6


def test_a_request_with_labels_ends_in_their_scores_and_writes_nothing(bundled: Pair) -> None:
    events = run(Engine(bundled.model), [asking(random_prompt(20), steps=2)])
    assert [type(event) for event in events] == [Encoded, Stepped, Stepped, Scored, Finished]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.SCORED
    assert finished.usage.output_tokens == 0
    assert (finished.usage.canvases, finished.usage.denoising_steps) == (1, 2)
    assert not any(isinstance(event, Committed) for event in events)


def test_what_a_request_does_to_logits_does_not_touch_scores(bundled: Pair) -> None:
    prompt = random_prompt(20)
    biased = asking(prompt, logit_bias=((300, 50.0),), banned_token_ids=(301,), temperature=0.0)
    assert score_alone(bundled.model, biased) == score_alone(bundled.model, asking(prompt))


@pytest.mark.parametrize("steps", [1, 3])
def test_scores_are_the_same_in_any_company(bundled: Pair, steps: int) -> None:
    prompts = {number: random_prompt(10 + 7 * number, seed=number) for number in range(32)}
    questions = [
        asking(prompt, request_id=number, steps=steps, length=(16, 32, None)[number % 3])
        for number, prompt in prompts.items()
    ]
    company = [asking(random_prompt(33), request_id=99, steps=7)]
    answering = submit(random_prompt(40), Sampling(max_output_tokens=90, seed=1), request_id=98)
    together = run(Engine(bundled.model), [*company, answering, *questions])
    for question in questions:
        alone = score_alone(bundled.model, question)
        told = scores(together, question.request_id)
        assert told == pytest.approx(alone, rel=0, abs=COMPANY_TOLERANCE)
        assert max(range(5), key=told.__getitem__) == max(range(5), key=alone.__getitem__)


def test_scores_are_the_same_behind_a_prefix_from_the_cache(bundled: Pair) -> None:
    shared = random_prompt(3 * PAGE_TOKENS + 5)
    questions = [asking([*shared, 120 + n, 130], request_id=n) for n in range(4)]
    engine = Engine(bundled.model)
    events = run(engine, [questions[0]]) + run(engine, list(questions[1:]))
    for number, question in enumerate(questions):
        told, alone = scores(events, number), score_alone(bundled.model, question)
        assert told == pytest.approx(alone, rel=0, abs=COMPANY_TOLERANCE)
        [prefill] = [e for e in events if isinstance(e, Encoded) and e.request_id == number]
        assert prefill.cached_count == (3 * PAGE_TOKENS if number else 0)


def test_labels_of_several_canvases_are_summed_over_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(3 + 64, 50, generator=torch.Generator().manual_seed(0))
    long = [(7,), tuple(range(16)), tuple(range(17)), tuple(range(40)), (8,) * 15]
    asked = [(3, long), (50, [(5,), (6, 7)]), (48, [(5,)])]
    taken: list[list[int]] = []

    def logits_at(rows: list[int]) -> Tensor:
        taken.append(rows)
        return logits[rows]

    # tiles as high as on a vocabulary of a million tokens
    monkeypatch.setattr(tiles, "TILE_ELEMENTS", 16 * 50)
    told = label_scores(logits_at, asked, end_token_ids={1, 2}, vocabulary_size=50)
    for (first, labels), scores_of_canvas in zip(asked, told, strict=True):
        expected = [by_hand(logits[first:], label, (1, 2)) for label in labels]
        assert scores_of_canvas == pytest.approx(expected, rel=1e-6)
    read = [*range(3, 44), 50, 51, 52, 48, 49]
    assert [row for rows in taken for row in rows] == [*read, 49, 49]
    assert [len(rows) for rows in taken] == [16, 16, 16]


def test_the_chances_of_all_one_token_answers_add_up_to_those_of_ending_there() -> None:
    logits = torch.randn(2, 30, generator=torch.Generator().manual_seed(1))
    every = [(token,) for token in range(30)]
    [told] = label_scores(
        lambda rows: logits[rows], [(0, every)], end_token_ids={4, 9}, vocabulary_size=30
    )
    ending = logits[1].softmax(-1)[[4, 9]].sum()
    assert float(torch.tensor(told).exp().sum()) == pytest.approx(float(ending), rel=1e-5)
