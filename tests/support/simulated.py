"""Machines and loads of the simulation whose times can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from palimpsest.engine.simulation.load import Kind, Load
from palimpsest.engine.simulation.machine import Machine, PassTimes
from palimpsest.engine.simulation.run import Plan
from palimpsest.engine.simulation.sizes import Fixed, Size

CANVAS = 64
PASS_S = 1.0
ONE = Fixed(1)
PROMPT = Fixed(30)
ANSWER = Fixed(CANVAS)


def machine(
    times: PassTimes | None = None, *, context_tokens: int = 8_192, cache_bytes: int = 2**18
) -> Machine:
    """Each pass takes a second, whatever is in it, unless `times` say more. One byte a token."""
    flat = {(canvases, rows, 0): PASS_S for canvases in (1, 2) for rows in (0, 1)}
    return Machine(
        name="test",
        source="made up",
        canvas_tokens=CANVAS,
        context_tokens=context_tokens,
        cache_bytes=cache_bytes,
        bytes_per_token={None: 1},
        times=times or PassTimes(flat),
    )


def kind(
    name: str = "a",
    *,
    traffic: float = 1.0,
    prompt: Size = PROMPT,
    output: Size = ANSWER,
    steps: Size = ONE,
    priority: int = 0,
    prefix_tokens: int = 0,
    prefixes: int = 1,
) -> Kind:
    """Requests that need one pass each, unless said otherwise, in a share of their own."""
    return Kind(
        name=name,
        traffic=traffic,
        prompt_tokens=prompt,
        output_tokens=output,
        steps=steps,
        share=name,
        priority=priority,
        prefix_tokens=prefix_tokens,
        prefixes=prefixes,
    )


def plan(*kinds: Kind, rate: float, requests: int, **rest: Any) -> Plan:  # noqa: ANN401
    """On a machine as above, with the rest as it comes or as it is said."""
    load = Load(name="test", kinds=kinds or (kind(),))
    whole = Plan(load=load, machine=machine(), rate=rate, requests=requests)
    return replace(whole, **rest)
