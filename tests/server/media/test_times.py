"""Which frames of a video are seen, and what time they are said to have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from palimpsest.server.media.times import evenly, sampled


def test_a_frame_a_second_is_the_nearest_to_each_second() -> None:
    times = [number / 29.97 for number in range(150)]
    assert sampled(times, rate_hz=1.0, most=32) == [0, 30, 60, 90, 120]


def test_more_than_are_seen_are_taken_evenly_from_all() -> None:
    times = [number / 10 for number in range(400)]
    assert sampled(times, rate_hz=1.0, most=32) == [number * 400 // 32 for number in range(32)]


def test_a_clip_of_one_frame_is_that_frame() -> None:
    assert sampled([3.5], rate_hz=1.0, most=32) == [0]


def test_a_frame_that_is_nearest_twice_is_seen_once() -> None:
    assert sampled([0.0, 1.9, 2.0], rate_hz=2.0, most=32) == [0, 1, 2]


@given(
    times=some.lists(some.floats(0, 60), min_size=1, max_size=200, unique=True).map(sorted),
    rate_hz=some.floats(0.01, 240),
    most=some.integers(1, 40),
)
def test_frames_are_in_order_and_no_more_than_allowed(
    times: list[float], rate_hz: float, most: int
) -> None:
    chosen = sampled(times, rate_hz=rate_hz, most=most)
    assert 1 <= len(chosen) <= most
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] < len(times)


def test_few_frames_are_all_seen() -> None:
    assert evenly(3, 32) == [0, 1, 2]
