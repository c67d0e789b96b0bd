"""Parity, third level: whole answers, token for token, on the reference's own draws."""

from __future__ import annotations

from random import Random

import pytest
from pairs import Pair
from reference import record
from replay import answer, drafts, ending, random_prompt, replay

from palimpsest.engine.events import Committed, FinishReason
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.text import TextCodec
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.skills import SKILLS

SEEDS = range(3)
CANVASES = 3
QUESTIONS = [("count from 7 to 40", 0), ("reverse the word: canvas", 1), ("what is 23 + 58?", 2)]


def equal_runs(
    pair: Pair,
    prompt: list[int],
    *,
    seed: int,
    ends: tuple[int, ...] = (),
    steps: int = 48,
    stability: int = 1,
    confidence: float = 0.005,
) -> list[int]:
    """Runs both, asserts that they agree at every step, and returns the steps of each canvas."""
    model = pair.ending_at(*ends)
    recording = record(
        pair.reference,
        prompt,
        seed=seed,
        canvases=CANVASES,
        eos_token_id=list(ends) or None,
        max_denoising_steps=steps,
        stability_threshold=stability,
        confidence_threshold=confidence,
    )
    sampling = Sampling(
        max_output_tokens=CANVASES * pair.canvas_length,
        seed=0,
        max_denoising_steps=steps,
        stability_threshold=stability,
        confidence_threshold=confidence,
    )
    events = replay(model, prompt, sampling, seed=seed)
    assert drafts(events) == [step.argmax.tolist() for step in recording.steps]
    assert answer(events) == recording.answer(model.limits.end_token_ids)
    stopped = len(answer(events)) < len(recording.tokens)
    assert ending(events).reason is (FinishReason.STOP if stopped else FinishReason.LENGTH)
    return [event.steps for event in events if isinstance(event, Committed)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("windows", [0.4, 2.2], ids=["short", "beyond the window"])
def test_three_canvases_equal_the_references(pair: Pair, windows: float, seed: int) -> None:
    prompt = random_prompt(int(windows * pair.window), seed)
    assert len(equal_runs(pair, prompt, seed=seed, steps=16)) == CANVASES


@pytest.mark.parametrize("length", [-1, 0, 1])
def test_prompts_about_as_long_as_the_window_equal_the_references(pair: Pair, length: int) -> None:
    equal_runs(pair, random_prompt(pair.window + length), seed=0, steps=6)


def test_a_prompt_of_one_token_equals_the_references(pair: Pair) -> None:
    equal_runs(pair, [2], seed=0, steps=6)


def test_the_checkpoints_own_settings_equal_the_references(pair: Pair) -> None:
    equal_runs(pair, random_prompt(20), seed=0, ends=(1, 106, 50))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_other_limits_of_steps_equal_the_references(pair: Pair, steps: int) -> None:
    assert max(equal_runs(pair, random_prompt(20), seed=0, steps=steps)) <= steps


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_that_end_inside_a_canvas_equal_the_references(calm: Pair, seed: int) -> None:
    ends = tuple(range(120, 135))
    equal_runs(calm, random_prompt(20, seed), seed=seed, ends=ends, steps=12)


@pytest.mark.parametrize("confidence", [2.0, 3.0, 4.0])
def test_canvases_that_end_on_entropy_alone_equal_the_references(
    calm: Pair, confidence: float
) -> None:
    steps = equal_runs(
        calm, random_prompt(20), seed=0, steps=24, stability=0, confidence=confidence
    )
    assert len(steps) == CANVASES


@pytest.mark.parametrize(("question", "stability"), QUESTIONS)
def test_trained_answers_that_converge_equal_the_references(
    bundled: Pair, question: str, stability: int
) -> None:
    prompt = TextCodec(bundled.folder).encode_chat([{"role": "user", "content": question}])
    # ends canvases early even if little was learned
    steps = equal_runs(bundled, prompt, seed=stability, stability=stability, confidence=0.5)
    assert min(steps) < 48


@pytest.mark.parametrize("skill", SKILLS)
def test_answers_of_every_skill_equal_the_references(bundled: Pair, skill: str) -> None:
    source = ExampleSource()
    item = SKILLS[skill](Random(f"parity {skill}"))
    prompt = source.encode(source.renderer.prompt(item))
    # few enough that a difference in rounding does not grow into another token
    equal_runs(bundled, prompt, seed=7, ends=(1, 106, 50), steps=16)
