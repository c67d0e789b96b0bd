"""The measurement at full size: what it measures is the released model's shape."""

from __future__ import annotations

import interpreted as interpreted
import pytest
import torch

from palimpsest.engine.gpu.full_size.checks import fused_is_plain
from palimpsest.engine.gpu.full_size.reference import reference
from palimpsest.engine.gpu.full_size.sizes import plan_for
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.kernels.cases import RELEASED

CPU = torch.device("cpu")


def test_the_plan_for_a_gpu_is_the_model_that_the_kernels_are_tried_with() -> None:
    config = plan_for(torch.device("cuda")).config
    sliding, full = config.layers[0], config.layers[5]

    assert (config.hidden_size, config.mlp_width) == (RELEASED.hidden, RELEASED.mlp_width)
    assert (config.num_experts, config.expert_width) == (RELEASED.experts, RELEASED.expert_width)
    assert (config.vocabulary_size, config.canvas_length) == (RELEASED.vocabulary, RELEASED.rows)
    for layer, kind in ((sliding, RELEASED.sliding), (full, RELEASED.full)):
        assert (layer.head_dim, layer.num_key_value_heads) == (kind.head, kind.groups)
        assert layer.window == kind.window
    assert [layer.index for layer in config.layers if layer.window is None] == [5, 11, 17, 23, 29]


# the reference's own
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_reference_writes_as_many_tokens_as_are_counted() -> None:
    plan = plan_for(CPU)

    row = reference(plan)

    assert row["output_tokens"] == plan.config.canvas_length * plan.answer_canvases
    assert row["tokens_per_second"] == row["output_tokens"] / row["seconds"]  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.timeout(600)
# dead rows hold whatever the memory held
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("weight_format", [WeightFormat.PLAIN, WeightFormat.W4A8])
@torch.inference_mode()
def test_two_layers_of_kernels_pass_their_check(weight_format: WeightFormat) -> None:
    assert fused_is_plain(plan_for(CPU), weight_format=weight_format) == []
