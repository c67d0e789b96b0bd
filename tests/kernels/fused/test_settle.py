from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.settle import (
    CanvasProgress,
    CanvasRules,
    Settled,
    settle,
    settle_reference,
)

BOUNDS = [0.0, 0.1, 1.0, 5.0, 1e4]


def sixty_fourths(canvases: int, length: int) -> Tensor:
    """Entropies without equals, between which the plain path may take any; their sums are exact."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randperm(length, generator=generator) for _ in range(canvases)]
    return torch.stack(rows) / 64


def tokens(canvases: int, length: int, *, seed: int, span: int = 262_144) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, span, (canvases, length), generator=generator).int()


def counts(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def case(length: int) -> tuple[CanvasProgress, CanvasRules, dict[str, Tensor]]:
    """Five canvases: changing, at their first step, stable, converging, and out of steps."""
    argmax = tokens(5, length, seed=1)
    draft = argmax.clone()
    draft[0, length // 2] += 1
    draft[1] = -1
    entropy = sixty_fourths(5, length)
    entropy[3] = 0.0
    progress = CanvasProgress(
        tokens=torch.full((5, length), -7, dtype=torch.int32),
        draft=draft,
        unchanged_steps=counts(3, 0, 1, 0, 5),
        step=counts(4, 0, 5, 6, 15),
    )
    rules = CanvasRules(
        entropy_bound=torch.tensor(BOUNDS),
        confidence_threshold=torch.tensor([0.5, 0.5, 0.0, 0.005, 0.0]),
        stability_threshold=counts(1, 1, 2, 1, 1),
        max_steps=counts(48, 48, 48, 48, 16),
    )
    given = {
        "entropy": entropy,
        "drawn": tokens(5, length, seed=2),
        "argmax": argmax,
        "noise": tokens(5, length, seed=3),
    }
    return progress, rules, given


def copied(progress: CanvasProgress) -> CanvasProgress:
    return CanvasProgress(
        tokens=progress.tokens.clone(),
        draft=progress.draft.clone(),
        unchanged_steps=progress.unchanged_steps.clone(),
        step=progress.step.clone(),
    )


@pytest.mark.parametrize("length", [1, 5, 32, 100, 256])
def test_canvases_settle_as_defined(length: int) -> None:
    progress, rules, given = case(length)
    moved = copied(progress)
    wanted = settle_reference(moved, rules, **given)
    made = settle(progress, rules, **given)
    for name in ("tokens", "draft", "unchanged_steps", "step"):
        assert torch.equal(getattr(progress, name), getattr(moved, name)), name
    for name in ("changed_count", "mean_entropy", "converged", "done"):
        torch.testing.assert_close(getattr(made, name), getattr(wanted, name), msg=name)
    assert torch.equal(made.accepted, wanted.accepted)
    assert made.done.tolist()[2:] == [0, 1, 1]
    assert made.converged.tolist()[2:] == [0, 1, 0]


def test_of_equals_the_first_are_accepted() -> None:
    progress, rules, given = case(100)
    given["entropy"] = torch.full((5, 100), 0.25)
    made = settle(progress, replace(rules, entropy_bound=torch.full((5,), 2.0)), **given)
    assert made.accepted[0].tolist() == [1] * 9 + [0] * 91


def test_a_less_sure_position_is_never_accepted_before_a_surer_one() -> None:
    progress, rules, given = case(256)
    generator = torch.Generator().manual_seed(0)
    entropy = torch.rand(5, 256, generator=generator) * 10.0 ** torch.randint(
        -8, 1, (5, 256), generator=generator
    )
    given["entropy"] = entropy
    made = settle(progress, replace(rules, entropy_bound=torch.full((5,), 0.5)), **given)
    for row, accepted in zip(entropy, made.accepted.bool(), strict=True):
        assert 0 < accepted.sum() < 256
        assert row[accepted].max() < row[~accepted].min()


def test_a_canvas_alone_settles_as_in_company() -> None:
    def of(rows: slice) -> tuple[CanvasProgress, Settled]:
        progress, rules, given = case(100)
        part = CanvasProgress(
            tokens=progress.tokens[rows],
            draft=progress.draft[rows],
            unchanged_steps=progress.unchanged_steps[rows],
            step=progress.step[rows],
        )
        cut = CanvasRules(
            entropy_bound=rules.entropy_bound[rows],
            confidence_threshold=rules.confidence_threshold[rows],
            stability_threshold=rules.stability_threshold[rows],
            max_steps=rules.max_steps[rows],
        )
        return part, settle(part, cut, **{name: rows_of[rows] for name, rows_of in given.items()})

    progress, together = of(slice(None))
    part, alone = of(slice(2, 3))
    assert torch.equal(progress.tokens[2:3], part.tokens)
    assert torch.equal(together.mean_entropy[2:3], alone.mean_entropy)
    assert torch.equal(together.accepted[2:3], alone.accepted)
