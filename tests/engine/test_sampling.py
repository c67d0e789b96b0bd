"""Settings of a request: every bound is named in its refusal, and what lies on a bound passes."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import pytest

from palimpsest.engine.errors import InvalidRequest
from palimpsest.engine.sampling import MAX_DENOISING_STEPS, MAX_OUTPUT_TOKENS, MAX_SEED, Sampling

DEFAULTS = Sampling(max_output_tokens=256, seed=0)
BOUNDS: list[tuple[str, float, float]] = [
    ("max_output_tokens", 1, MAX_OUTPUT_TOKENS),
    ("seed", 0, MAX_SEED),
    ("max_denoising_steps", 1, MAX_DENOISING_STEPS),
    ("entropy_bound", 0.0, 1e6),
    ("temperature_max", 0.4, 100.0),
    ("temperature_min", 1e-3, 0.8),
    ("confidence_threshold", 0.0, 100.0),
    ("stability_threshold", 0, 100),
    ("temperature", 0.0, 100.0),
]


def changed(field: str, value: float) -> Sampling:
    return replace(DEFAULTS, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "low", "high"), BOUNDS)
def test_values_on_the_bounds_are_taken(field: str, low: float, high: float) -> None:
    assert getattr(changed(field, low), field) == low
    assert getattr(changed(field, high), field) == high


@pytest.mark.parametrize(("field", "low", "high"), BOUNDS)
def test_values_past_the_bounds_are_refused_by_field_and_value(
    field: str, low: float, high: float
) -> None:
    whole = isinstance(low, int)
    below = low - 1 if whole else math.nextafter(low, -math.inf)
    above = high + 1 if whole else math.nextafter(high, math.inf)
    for value in (below, above):
        with pytest.raises(InvalidRequest) as refusal:
            changed(field, value)
        named = "temperature_min" if field == "temperature_max" and value == below else field
        assert refusal.value.field == named
        assert str(value) in refusal.value.reason


@pytest.mark.parametrize("field", [field for field, low, _ in BOUNDS if isinstance(low, float)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=rf"{value} is (outside|above)"):
        changed(field, value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_output_tokens", 0, "max_output_tokens: 0 is outside 1 to 262144"),
        ("max_output_tokens", 10**9, "max_output_tokens: 1000000000 is outside 1 to 262144"),
        ("temperature", -1.0, "temperature: -1.0 is outside 0.0 to 100.0"),
        ("temperature", math.nan, "temperature: nan is outside 0.0 to 100.0"),
        ("temperature_max", 1e-4, "temperature_max: 0.0001 is outside 0.001 to 100.0"),
        ("seed", -1, "seed: -1 is outside 0 to 18446744073709551615"),
        ("temperature_min", 0.9, "temperature_min: 0.9 is above temperature_max 0.8"),
    ],
)
def test_a_refusal_says_field_value_and_bound(field: str, value: float, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        changed(field, value)
    assert str(refusal.value) == message


def test_a_refusal_survives_the_way_between_processes() -> None:
    sent = InvalidRequest("temperature", "too hot")
    received = pickle.loads(pickle.dumps(sent))
    assert (received.field, received.reason) == ("temperature", "too hot")
    assert str(received.under("sampling")) == "sampling.temperature: too hot"


def test_settings_survive_the_way_between_processes() -> None:
    assert pickle.loads(pickle.dumps(DEFAULTS)) == DEFAULTS
