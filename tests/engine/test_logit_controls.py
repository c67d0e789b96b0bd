"""Bias, bans, permissions and penalties on the logits of one request's canvases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.engine.logit_controls import LogitControls, controlled
from palimpsest.engine.sampling import Sampling
from palimpsest.kernels.sampling import entropies

V, END = 10, 0


def controls(**fields: object) -> LogitControls:
    sampling = Sampling(max_output_tokens=1, seed=0, **fields)  # type: ignore[arg-type]
    return LogitControls(sampling, always_allowed=[END], size=V, device=torch.device("cpu"))


def logits() -> Tensor:
    return torch.randn(3, V, generator=torch.Generator().manual_seed(0))


def changed(control: LogitControls) -> Tensor:
    """[V] what is added to the logits of the first row."""
    return (control.apply(logits()) - logits())[0]


def test_a_bias_is_added_to_its_tokens_alone() -> None:
    added = changed(controls(logit_bias=((3, 2.0), (7, -1.5))))
    expected = torch.zeros(V).index_put((torch.tensor([3, 7]),), torch.tensor([2.0, -1.5]))
    torch.testing.assert_close(added, expected)


def test_banned_tokens_have_no_probability_and_entropies_stay_finite() -> None:
    probabilities, entropy = entropies(controls(banned_token_ids=(2, 5)).apply(logits()) / 1e-3)
    assert not probabilities[:, [2, 5]].any()
    assert entropy.isfinite().all()


def test_only_allowed_tokens_and_the_end_are_left() -> None:
    probabilities = controls(allowed_token_ids=(4, 6)).apply(logits()).softmax(-1)
    assert probabilities[0].nonzero()[:, 0].tolist() == [END, 4, 6]


def test_a_ban_wins_over_bias_and_permission() -> None:
    control = controls(
        banned_token_ids=(4,), allowed_token_ids=(4, 6), logit_bias=((4, 100.0), (6, -1.0))
    )
    assert control.apply(logits()).softmax(-1)[0].nonzero()[:, 0].tolist() == [END, 6]


def test_the_repetition_penalty_draws_tokens_of_prompt_and_canvases_towards_less() -> None:
    control = controls(repetition_penalty=2.0)
    assert not changed(control).any()
    control.read([1, 2])
    control.commit([2, 3, 3])
    original, penalised = logits(), control.apply(logits())
    positive = torch.where(original > 0, original / 2, original * 2)
    torch.testing.assert_close(penalised[:, [1, 2, 3]], positive[:, [1, 2, 3]])
    others = [0, *range(4, V)]
    assert torch.equal(penalised[:, others], original[:, others])


def test_presence_counts_a_committed_token_once_and_frequency_every_time() -> None:
    presence, frequency = controls(presence_penalty=0.5), controls(frequency_penalty=0.5)
    for control in (presence, frequency):
        control.read([8])
        control.commit([2, 3, 3])
        control.commit([3])
    expected = torch.zeros(V)
    expected[[2, 3]] = torch.tensor([-0.5, -0.5])
    torch.testing.assert_close(changed(presence), expected)
    expected[[2, 3]] = torch.tensor([-0.5, -1.5])
    torch.testing.assert_close(changed(frequency), expected)


@pytest.mark.parametrize("rows", [slice(0, 8), slice(0, 3), slice(3, 6), slice(5, 8), slice(7, 8)])
def test_any_rows_of_a_step_are_in_the_hands_of_their_own_request(rows: slice) -> None:
    raw = torch.randn(8, V, generator=torch.Generator().manual_seed(1))
    owners = [None, controls(logit_bias=((3, 2.0),)), None, controls(logit_bias=((4, 1.0),))]
    expected = raw.clone()
    expected[2:4, 3] += 2.0
    expected[6:8, 4] += 1.0
    of = controlled(lambda rows: raw[rows].clone(), owners, length=2)
    torch.testing.assert_close(of(rows), expected[rows])


def test_without_controls_the_logits_are_not_touched() -> None:
    def logits_of(rows: slice) -> Tensor:
        return logits()[rows]

    assert controlled(logits_of, [None, None], length=2) is logits_of
