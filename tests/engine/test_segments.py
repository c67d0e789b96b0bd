"""Passes over segments: however tokens are laid into passes, the same comes out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from pairs import Pair
from replay import random_prompt
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.segments import Segment, run_segments

TOLERANCE = 1e-4
"""fp32 after four layers: a GEMM over other rows may sum in another order."""


class Conversation:
    """One sequence: what has been written, and segments at its end."""

    def __init__(self, pair: Pair) -> None:
        self.network = pair.model.network
        self.cache = SequenceCache(
            self.network.config, dtype=torch.float32, device=pair.model.device
        )
        self.length = 0

    def causal(self, tokens: Sequence[int]) -> Segment:
        segment = self._at_end(tokens, causal=True)
        self.length += len(tokens)
        return segment

    def canvas(self, tokens: Sequence[int], soft: Tensor | None = None) -> Segment:
        return self._at_end(tokens, causal=False, soft=soft)

    def run(self, *segments: Segment) -> list[Tensor]:
        with torch.inference_mode():
            return run_segments(self.network, list(segments))

    def _at_end(
        self, tokens: Sequence[int], *, causal: bool, soft: Tensor | None = None
    ) -> Segment:
        return Segment(
            cache=self.cache,
            token_ids=torch.tensor(tokens),
            start=self.length,
            causal=causal,
            soft_embedding=soft,
        )


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE)


def same_caches(a: Conversation, b: Conversation) -> None:
    assert a.length == b.length
    for layer in a.cache.layers:
        for one, other in zip(
            a.cache.read(layer, 0, a.length), b.cache.read(layer, 0, b.length), strict=True
        ):
            same(one, other)


def soft_of(pair: Pair, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(length, 512, generator=generator)
    return pair.model.network.soften(logits.softmax(-1))


PROMPT = random_prompt(40)
CANVAS = random_prompt(32, seed=1)
NEXT = random_prompt(32, seed=2)


def test_a_commit_and_the_next_canvas_may_share_a_pass(calm: Pair) -> None:
    apart, fused = Conversation(calm), Conversation(calm)
    for conversation in (apart, fused):
        conversation.run(conversation.causal(PROMPT))
    (committed,) = apart.run(apart.causal(CANVAS))
    (first_step,) = apart.run(apart.canvas(NEXT))
    both = fused.run(fused.causal(CANVAS), fused.canvas(NEXT))
    same(both[0], committed)
    same(both[1], first_step)
    same_caches(apart, fused)


def test_prefill_and_first_canvas_may_share_a_pass(calm: Pair) -> None:
    apart, fused = Conversation(calm), Conversation(calm)
    apart.run(apart.causal(PROMPT))
    (first_step,) = apart.run(apart.canvas(CANVAS))
    same(fused.run(fused.causal(PROMPT), fused.canvas(CANVAS))[1], first_step)


@pytest.mark.parametrize("self_conditioned", [False, True])
def test_sequences_in_one_pass_do_not_touch_each_other(calm: Pair, self_conditioned: bool) -> None:
    def both(*, together: bool) -> list[Tensor]:
        one, two = Conversation(calm), Conversation(calm)
        one.run(one.causal(PROMPT))
        soft = soft_of(calm, 32) if self_conditioned else None
        segments = [one.canvas(CANVAS, soft), two.causal(random_prompt(23, seed=3))]
        if together:
            return one.run(*segments)
        return [output for segment in segments for output in one.run(segment)]

    for together, alone in zip(both(together=True), both(together=False), strict=True):
        same(together, alone)


def test_canvases_at_different_steps_share_a_pass(calm: Pair) -> None:
    def canvases() -> tuple[Conversation, list[Segment]]:
        one, two = Conversation(calm), Conversation(calm)
        one.run(one.causal(PROMPT))
        two.run(two.causal(PROMPT[:5]))
        # one at its first step, without self-conditioning, the other later
        return one, [one.canvas(CANVAS), two.canvas(NEXT, soft_of(calm, 32))]

    runner, segments = canvases()
    together = runner.run(*segments)
    runner, segments = canvases()
    alone = [output for segment in segments for output in runner.run(segment)]
    for one, other in zip(together, alone, strict=True):
        same(one, other)


def test_no_self_conditioning_is_self_conditioning_by_zeros(calm: Pair) -> None:
    conversation = Conversation(calm)
    conversation.run(conversation.causal(PROMPT))
    (without,) = conversation.run(conversation.canvas(CANVAS))
    (zeros,) = conversation.run(conversation.canvas(CANVAS, torch.zeros(32, 64)))
    assert torch.equal(without, zeros)


@pytest.mark.parametrize("chunk", [1, 7, 16, 39])
def test_a_prompt_in_chunks_is_the_prompt_at_once(calm: Pair, chunk: int) -> None:
    whole, chunked = Conversation(calm), Conversation(calm)
    (expected,) = whole.run(whole.causal(PROMPT))
    parts = [PROMPT[i : i + chunk] for i in range(0, len(PROMPT), chunk)]
    outputs = [chunked.run(chunked.causal(part))[0] for part in parts]
    same(torch.cat(outputs), expected)
    same_caches(whole, chunked)


def test_chunks_of_a_prompt_may_share_a_pass(calm: Pair) -> None:
    whole, chunked = Conversation(calm), Conversation(calm)
    (expected,) = whole.run(whole.causal(PROMPT))
    parts = chunked.run(chunked.causal(PROMPT[:13]), chunked.causal(PROMPT[13:]))
    same(torch.cat(parts), expected)


def test_a_canvas_leaves_nothing_behind(calm: Pair) -> None:
    plain, drafted = Conversation(calm), Conversation(calm)
    for conversation in (plain, drafted):
        conversation.run(conversation.causal(PROMPT))
    drafted.run(drafted.canvas(NEXT))
    drafted.run(drafted.canvas(CANVAS))
    outputs = [c.run(c.causal(CANVAS)) for c in (plain, drafted)]
    assert torch.equal(outputs[0][0], outputs[1][0])
    same_caches(plain, drafted)


def test_a_sequence_outgrows_its_first_capacity_unharmed(calm: Pair) -> None:
    long = random_prompt(700)
    whole, grown = Conversation(calm), Conversation(calm)
    whole.run(whole.causal(long))
    grown.run(grown.causal(long[:500]))
    grown.run(grown.canvas(CANVAS))
    grown.run(grown.causal(long[500:]))
    same_caches(whole, grown)
