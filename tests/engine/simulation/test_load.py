"""Who arrives when, and with what: as the classes say, and the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest
from simulated import CANVAS, kind, machine

from palimpsest.engine.pages import PAGE_TOKENS, chain_keys
from palimpsest.engine.simulation.fields import BadInput
from palimpsest.engine.simulation.load import Load, Request, load
from palimpsest.engine.simulation.sizes import Fixed, Lognormal, Uniform

CLASS: dict[str, Any] = {
    "name": "chat",
    "traffic": 3,
    "prompt_tokens": {"lognormal": {"median": 300, "sigma": 0.8, "max": 4000}},
    "output_tokens": {"uniform": [50, 600]},
    "steps": 12,
}


def arrivals(one: Load, *, rate: float = 2.0, count: int = 2_000, seed: int = 0) -> list[Request]:
    return list(one.requests(rate=rate, count=count, canvas_tokens=CANVAS, seed=seed))


def test_requests_arrive_at_the_rate_and_in_the_proportions_of_their_classes() -> None:
    both = Load(name="test", kinds=(kind("often", traffic=3), kind("rarely", traffic=1)))
    requests = arrivals(both)
    # four standard errors of a mean of 2,000 exponential gaps, and of a share of 3 in 4
    assert requests[-1].arrival_s == pytest.approx(1_000, rel=4 / 2_000**0.5)
    counts = Counter(request.kind for request in requests)
    assert counts["often"] == pytest.approx(1_500, abs=4 * (2_000 * 0.75 * 0.25) ** 0.5)


def test_the_same_seed_is_the_same_load_and_another_rate_only_stretches_it() -> None:
    one = Load(name="test", kinds=(kind(prompt=Lognormal(100, 1.0, 4_000), steps=Uniform(2, 9)),))
    requests = arrivals(one, count=50)
    assert arrivals(one, count=50) == requests
    assert arrivals(one, count=50, seed=1) != requests
    slower = arrivals(one, count=50, rate=1.0)
    assert [r.steps for r in slower] == [r.steps for r in requests]
    assert [r.arrival_s / 2 for r in slower] == pytest.approx([r.arrival_s for r in requests])


def test_sizes_are_those_of_their_distributions() -> None:
    one = kind(prompt=Lognormal(100, 1.0, 300), output=Uniform(100, 200), steps=Fixed(5))
    requests = arrivals(Load(name="test", kinds=(one,)))
    prompts = [request.own_tokens for request in requests]
    assert max(prompts) == 300
    assert median(prompts) == pytest.approx(100, rel=0.1)
    assert {request.output_tokens for request in requests} == set(range(100, 201))
    assert fmean(request.output_tokens for request in requests) == pytest.approx(150, abs=3)
    assert {request.steps for request in requests} == {(5, 5), (5, 5, 5), (5, 5, 5, 5)}


def test_prompts_share_pages_within_their_prefix_alone() -> None:
    prefix = 2 * PAGE_TOKENS
    one = kind(prompt=Fixed(2 * PAGE_TOKENS), prefix_tokens=prefix, prefixes=2)
    requests = arrivals(Load(name="test", kinds=(one,)), count=20)
    keys = [chain_keys(request.prompt()) for request in requests]
    assert all(len(request.prompt()) == request.prompt_tokens == 256 for request in requests)
    assert len({key[1] for key in keys}) == 2
    assert len({key[2] for key in keys}) == len({key[3] for key in keys}) == 20


def test_a_request_longer_than_the_context_is_refused() -> None:
    one = Load(name="test", kinds=(kind("long", prompt=Uniform(1, 8_100), output=Fixed(65)),))
    with pytest.raises(
        BadInput, match=r"class long: a request of 8228 tokens is not within .* 8192"
    ):
        one.check(machine())


def test_a_file_holds_classes(tmp_path: Path) -> None:
    path = tmp_path / "traffic.json"
    second = CLASS | {"name": "vip", "share": "chat", "priority": 1, "prefix_tokens": 64}
    path.write_text(json.dumps({"classes": [CLASS, second]}))
    one = load(path)
    assert one.name == "traffic"
    assert [(k.name, k.share, k.priority, k.prefix_tokens) for k in one.kinds] == [
        ("chat", "chat", 0, 0),
        ("vip", "chat", 1, 64),
    ]
    assert one.kinds[0].prompt_tokens == Lognormal(300, 0.8, 4000)
    assert (one.kinds[0].output_tokens, one.kinds[0].steps) == (Uniform(50, 600), Fixed(12))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"traffic": 0}, r"traffic: 0 is not a number above 0"),
        ({"priority": 2}, r"priority: 2 is not a whole number from -1 to 1"),
        ({"steps": 1001}, r"steps: 1001 is not a whole number from 1 to 1000"),
        ({"steps": {"uniform": [9, 8]}}, r"steps: uniform: \[9, 8\] is not two whole numbers from"),
        ({"steps": {"normal": 1}}, r'steps: {"normal": 1} is not a whole number, {"uniform"'),
        ({"prompt_tokens": True}, r"prompt_tokens: true is not a whole number from 1 to 1048576"),
        (
            {"prompt_tokens": {"lognormal": {"median": 9, "sigma": -1, "max": 9}}},
            r"prompt_tokens: lognormal: sigma: -1 is not within 0 to 5",
        ),
        ({"tenant": "x"}, r"tenant: is unknown; there may be name, traffic"),
    ],
)
def test_a_class_that_cannot_be_is_refused_by_field_value_and_bound(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "traffic.json"
    path.write_text(json.dumps({"classes": [CLASS | change]}))
    with pytest.raises(BadInput, match=message) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path}: classes[0]: ")


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "traffic.json"
    path.write_text(json.dumps({"classes": [CLASS, CLASS]}))
    with pytest.raises(BadInput, match=r'classes\[1\]\.name: "chat" is there twice'):
        load(path)
