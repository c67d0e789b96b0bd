"""Sampling parameters of the contract as fields of the engine's Sampling."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.exchange import SamplingValue
from palimpsest.v1 import sampling_pb2

EFFORTS: Mapping[int, dict[str, SamplingValue]] = {
    sampling_pb2.EFFORT_UNSPECIFIED: {},
    sampling_pb2.EFFORT_LOW: {
        "max_denoising_steps": 16,
        "entropy_bound": 0.4,
        "confidence_threshold": 0.05,
    },
    sampling_pb2.EFFORT_MEDIUM: {
        "max_denoising_steps": 32,
        "entropy_bound": 0.1,
        "confidence_threshold": 0.005,
    },
    sampling_pb2.EFFORT_HIGH: {
        "max_denoising_steps": 64,
        "entropy_bound": 0.03,
        "confidence_threshold": 0.001,
    },
}
"""What each preset sets where the caller does not."""

LISTS = {"banned_token_ids", "allowed_token_ids", "stop_token_ids"}


def chosen_sampling(
    parameters: sampling_pb2.SamplingParameters, *, besides: Set[str]
) -> Mapping[str, SamplingValue]:
    """The fields that are set, an effort as what it stands for under what is set beside it; without
    those named by `besides`.
    """
    set_fields = ((field.name, value) for field, value in parameters.ListFields())
    fields: dict[str, Any] = {name: value for name, value in set_fields if name not in besides}
    effort = fields.pop("effort", sampling_pb2.EFFORT_UNSPECIFIED)
    if effort not in EFFORTS:
        raise InvalidRequest("input.sampling.effort", f"{effort} is not an effort")
    lists = {name: tuple(fields[name]) for name in LISTS & fields.keys()}
    if "logit_bias" in fields:
        lists["logit_bias"] = tuple(sorted(fields["logit_bias"].items()))
    return EFFORTS[effort] | fields | lists
