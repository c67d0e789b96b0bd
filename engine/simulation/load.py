"""Who asks for what, and when: classes of requests that arrive at random.

A file of `--load` is one JSON object:

    {"classes": [
      {"name": "chat", "traffic": 0.9, "share": "app", "priority": 0,
       "prefix_tokens": 512, "prefixes": 4,
       "prompt_tokens": {"lognormal": {"median": 300, "sigma": 0.8, "max": 4000}},
       "output_tokens": {"uniform": [50, 600]},
       "steps": 12}]}

`traffic` is the class's part of the requests, against the sum of all; `share` whom its work is
charged to (default: the name), `priority` -1, 0 or 1 (default: 0). Each prompt begins with one of
`prefixes` texts (default: 1) of `prefix_tokens` tokens (default: 0) that others begin with too;
`prompt_tokens` follow, like no others. `steps` are those of one canvas. A distribution is a number,
`uniform` or `lognormal`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from palimpsest.engine.simulation.fields import BadInput, Fields, read, shown
from palimpsest.engine.simulation.machine import Machine
from palimpsest.engine.simulation.sizes import MOST, Size, size

MOST_STEPS = 1_000
MOST_CLASSES = 1_000
MOST_PREFIXES = 2**16
_FIRST_PREFIX = 2**31
"""Token id of the first prefix; those below belong to requests, one each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, with everything about it that chance decides."""

    request_id: int
    arrival_s: float
    kind: str
    """Name of its class."""
    share: str
    priority: int
    prefix_id: int
    prefix_tokens: int
    own_tokens: int
    """Of the prompt, behind the prefix."""
    output_tokens: int
    steps: tuple[int, ...]
    """Of each of its canvases."""

    @property
    def prompt_tokens(self) -> int:
        """Of the whole prompt."""
        return self.prefix_tokens + self.own_tokens

    def prompt(self) -> list[int]:
        """Tokens that are those of others within the prefix alone: a page's key knows all before
        it, so one id tells all that follow it apart."""
        prefix = [self.prefix_id, *[0] * (self.prefix_tokens - 1)] if self.prefix_tokens else []
        return [*prefix, self.request_id, *[0] * (self.own_tokens - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of requests."""

    name: str
    traffic: float
    """Its part of the requests, against the sum of all classes."""
    prompt_tokens: Size
    output_tokens: Size
    steps: Size
    share: str
    priority: int = 0
    prefix_tokens: int = 0
    prefixes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Classes of requests."""

    name: str
    kinds: tuple[Kind, ...]

    def requests(
        self, *, rate: float, count: int, canvas_tokens: int, seed: int
    ) -> Iterator[Request]:
        """Arrivals of a Poisson process of `rate` a second.

        Requests and their order depend on the seed alone, whatever the rate.
        """
        gaps, sizes = Random(f"{seed} arrivals"), Random(f"{seed} requests")
        now = 0.0
        weights = [kind.traffic for kind in self.kinds]
        for number in range(count):
            now += gaps.expovariate(1.0) / rate
            (place,) = sizes.choices(range(len(self.kinds)), weights)
            kind = self.kinds[place]
            output = kind.output_tokens.draw(sizes)
            yield Request(
                request_id=number,
                arrival_s=now,
                kind=kind.name,
                share=kind.share,
                priority=kind.priority,
                prefix_id=_FIRST_PREFIX + place * MOST_PREFIXES + sizes.randrange(kind.prefixes),
                prefix_tokens=kind.prefix_tokens,
                own_tokens=kind.prompt_tokens.draw(sizes),
                output_tokens=output,
                steps=tuple(kind.steps.draw(sizes) for _ in range(-(-output // canvas_tokens))),
            )

    def check(self, machine: Machine) -> None:
        """Raises BadInput if a request can be longer than the machine's context."""
        canvas = machine.canvas_tokens
        for kind in self.kinds:
            answer = -(-kind.output_tokens.most // canvas) * canvas
            longest = kind.prefix_tokens + kind.prompt_tokens.most + answer
            if longest > machine.context_tokens:
                raise BadInput(
                    f"load {self.name}: class {kind.name}: a request of {longest} tokens is not "
                    f"within the {machine.context_tokens} of machine {machine.name}"
                )


def load(path: Path) -> Load:
    """A load from a file. Raises BadInput."""
    fields = read(path)
    fields.refuse_unknown(("classes",))
    values = fields.list("classes")
    if len(values) > MOST_CLASSES:
        raise fields.refusal("classes", f"{len(values)} are not at most {MOST_CLASSES}")
    kinds = []
    for number, value in enumerate(values):
        where = f"classes[{number}]"
        if not isinstance(value, dict):
            raise fields.refusal(where, f"{shown(value)} is not an object")
        kinds.append(_kind(Fields(f"{path}: {where}", value)))
    names = [kind.name for kind in kinds]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise fields.refusal(f"classes[{number}].name", f"{shown(name)} is there twice")
    return Load(name=path.stem, kinds=tuple(kinds))


def _kind(fields: Fields) -> Kind:
    fields.refuse_unknown([field.name for field in dataclasses.fields(Kind)])
    name = fields.text("name")
    return Kind(
        name=name,
        traffic=fields.positive("traffic"),
        prompt_tokens=size(fields, "prompt_tokens"),
        output_tokens=size(fields, "output_tokens"),
        steps=size(fields, "steps", MOST_STEPS),
        share=fields.text("share", name),
        priority=fields.count("priority", -1, 1, 0),
        prefix_tokens=fields.count("prefix_tokens", 0, MOST, 0),
        prefixes=fields.count("prefixes", 1, MOST_PREFIXES, 1),
    )
