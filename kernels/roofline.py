"""`python -m palimpsest.kernels.roofline`: where the milliseconds of a pass have to go.

One canvas of the released model behind 1,024 tokens. For each kernel its launches in a pass, what
they move and compute, and the least time a device with the given ceilings needs for that. With the
JSON of `palimpsest.kernels.bench`, the ceilings and the times that were measured instead:

    python -m palimpsest.kernels.roofline
    python -m palimpsest.kernels.roofline --weights w4a8 --measured kernels.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from palimpsest.kernels.bench import Ceilings
from palimpsest.kernels.cases import RELEASED, Case, all_cases

SLIDING_LAYERS, FULL_LAYERS = 25, 5
LAYERS = SLIDING_LAYERS + FULL_LAYERS
LAUNCHES = {
    "enter": 1,
    "qkv sliding": SLIDING_LAYERS,
    "qkv full": FULL_LAYERS,
    "heads sliding": SLIDING_LAYERS,
    "heads full": FULL_LAYERS,
    "attention sliding": SLIDING_LAYERS,
    "attention full": FULL_LAYERS,
    "output sliding": SLIDING_LAYERS,
    "output full": FULL_LAYERS,
    "after_attention": LAYERS,
    "routing": LAYERS,
    "expert_rows": LAYERS,
    "expert gate and up, 256 rows": LAYERS,
    "expert down, 256 rows": LAYERS,
    "dense gate and up": LAYERS,
    "dense down": LAYERS,
    "after_experts": LAYERS,
    "lm_head": 1,
    "read_rows": 1,
    "noise, 4 canvases": 1,
    "settle, 4 canvases": 1,
    "soft_embedding": 1,
}
"""In a pass, in the order of a layer. Self-conditioning, another dense MLP, is left out."""
WEIGHTS = {
    "w4a8": (" w4a8", " e4m3", ""),
    "w6a8": (" w6a8", " e4m3", ""),
    "w8a8": (" e4m3", ""),
    "plain": ("",),
}
"""Kinds of cases by format; experts alone have fewer than eight bits."""
H200 = Ceilings(copy_bytes_per_s=4.3e12, bf16_flops=790e12, e4m3_flops=1500e12)
"""Copying and sixteen bits as measured on one, eight bits by its data sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one kernel in the time of a pass."""

    kernel: str
    launches: int
    bytes: int
    flops: int
    least_ms: float
    measured_ms: float | None


def shares(
    ceilings: Ceilings, microseconds: Mapping[str, float], *, weights: str
) -> Iterator[Share]:
    """In the order of LAUNCHES; `microseconds` of a launch by case, where it was measured.
    `weights` is one of WEIGHTS.
    """
    cases = {case.name: case for case in all_cases(RELEASED, itemsize=2)}
    for name, launches in LAUNCHES.items():
        case = _variant(cases, name, weights)
        measured = microseconds.get(case.name)
        yield Share(
            kernel=name,
            launches=launches,
            bytes=launches * case.bytes,
            flops=launches * case.flops,
            least_ms=1e3 * launches * ceilings.seconds(case),
            measured_ms=None if measured is None else 1e-3 * launches * measured,
        )


def _variant(cases: Mapping[str, Case], name: str, weights: str) -> Case:
    """The first of the kinds that the kernel has."""
    return next(case for kind in WEIGHTS[weights] if (case := cases.get(name + kind)))


def table(rows: list[Share]) -> str:
    """In Markdown, with the sum."""
    lines = [
        "| kernel | launches | GB | TFLOP | least ms | measured ms |",
        "|---|---|---|---|---|---|",
    ]
    for row in [*rows, _sum(rows)]:
        measured = "" if row.measured_ms is None else f"{row.measured_ms:.3f}"
        lines.append(
            f"| {row.kernel} | {row.launches} | {row.bytes / 1e9:.3f} | {row.flops / 1e12:.3f} "
            f"| {row.least_ms:.3f} | {measured} |"
        )
    return "\n".join(lines)


def _sum(rows: list[Share]) -> Share:
    measured = [row.measured_ms for row in rows if row.measured_ms is not None]
    return Share(
        kernel="all",
        launches=sum(row.launches for row in rows),
        bytes=sum(row.bytes for row in rows),
        flops=sum(row.flops for row in rows),
        least_ms=sum(row.least_ms for row in rows),
        measured_ms=sum(measured) if len(measured) == len(rows) else None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.kernels.roofline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", choices=WEIGHTS, default="w8a8", help="default: %(default)s")
    parser.add_argument("--measured", type=Path, help="JSON of palimpsest.kernels.bench")
    arguments = parser.parse_args()
    ceilings, microseconds = H200, {}
    if arguments.measured is not None:
        document = json.loads(arguments.measured.read_text(encoding="utf-8").splitlines()[-1])
        ceilings = Ceilings(**document["ceilings"])
        known = (result for result in document["results"] if result["microseconds"] is not None)
        microseconds = {result["case"]: result["microseconds"] for result in known}
    print(table(list(shares(ceilings, microseconds, weights=arguments.weights))))


if __name__ == "__main__":
    main()
