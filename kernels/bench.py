"""`python -m palimpsest.kernels.bench`: every kernel against its definition, then the clock.

First the ceilings of the device: copying, and matrix products. Then each case (cases/): its output
beside the plain definition's, and only if they agree the time of its launches as a graph, from a
cold L2 cache, with the share of what the ceilings would allow. Prints a table and, as the last
line, JSON. Ends with 1 if any kernel is wrong.

`TRITON_INTERPRET=1 python -m palimpsest.kernels.bench --device cpu` checks small cases without a
GPU; there is no speed to be had.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import triton

from palimpsest.kernels.cases import RELEASED, TINY, Case, Make, all_cases
from palimpsest.kernels.compare import disagreements
from palimpsest.kernels.fused.rounding import INTERPRETED
from palimpsest.kernels.graph import graphed

COPIED_BYTES = 2**31
PRODUCT_SIZE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What the device was measured to do at best."""

    copy_bytes_per_s: float
    """Read and written."""
    bf16_flops: float
    e4m3_flops: float

    def seconds(self, case: Case) -> float:
        """The least time that a case can take."""
        flops = self.e4m3_flops if case.quantised else self.bf16_flops
        return max(case.bytes / self.copy_bytes_per_s, case.flops / flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One case. Times are None where it is wrong or not timed."""

    case: str
    problems: list[str]
    microseconds: float | None = None
    share_of_ceiling: float | None = None


def main() -> None:
    arguments = _parser().parse_args()
    device = torch.device(arguments.device)
    sizes, dtype = (TINY, torch.float32) if device.type == "cpu" else (RELEASED, torch.bfloat16)
    ceilings = None if device.type == "cpu" else measure_ceilings(device)
    results: list[Result] = []
    document = {
        "benchmark": "kernels",
        "device": torch.cuda.get_device_name(device) if ceilings else "interpreter",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "ceilings": ceilings and asdict(ceilings),
    }
    try:
        for case in all_cases(sizes, itemsize=dtype.itemsize):
            if arguments.only in case.name:
                results.append(measure(case, ceilings, device, dtype))
                print(_line(results[-1]), file=sys.stderr)
    finally:
        # what was measured before the device failed is told
        print(json.dumps(document | {"results": [asdict(result) for result in results]}))
    sys.exit(any(result.problems for result in results))


def measure(
    case: Case, ceilings: Ceilings | None, device: torch.device, dtype: torch.dtype
) -> Result:
    """Checks a case and, with ceilings and if it is right, times it."""
    problems = check(case, device, dtype)
    if problems or ceilings is None:
        return Result(case=case.name, problems=problems)
    given = case.inputs(Make(device, dtype))
    try:
        # as a pass has them: short ones end before the next is launched from here
        seconds = _seconds(graphed(lambda: case.run(given)))
    except RuntimeError as problem:
        return Result(case=case.name, problems=[f"no graph: {problem}".partition("\n")[0]])
    return Result(
        case=case.name,
        problems=[],
        microseconds=round(1e6 * seconds, 2),
        share_of_ceiling=round(ceilings.seconds(case) / seconds, 3),
    )


def check(case: Case, device: torch.device, dtype: torch.dtype) -> list[str]:
    """How the kernel disagrees with its definition, each on inputs of its own."""
    if case.reference is None:
        return []
    made = case.run(case.inputs(Make(device, dtype)))
    wanted = case.reference(case.inputs(Make(device, dtype)))
    return disagreements(made, wanted, computed_in=dtype)


def measure_ceilings(device: torch.device) -> Ceilings:
    """Of copying memory and of square products, by torch's own kernels."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    a = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, dtype=torch.bfloat16, device=device)
    small, one = a.to(torch.float8_e4m3fn), torch.ones((), device=device)

    def product() -> torch.Tensor:
        # the only way to torch's own eight-bit product
        return torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
            small, small.T, one, one, out_dtype=torch.bfloat16
        )

    flops = 2 * PRODUCT_SIZE**3
    return Ceilings(
        copy_bytes_per_s=2 * COPIED_BYTES / _seconds(lambda: target.copy_(source)),
        bf16_flops=flops / _seconds(lambda: a @ a),
        e4m3_flops=flops / _seconds(product),
    )


def _seconds(run: Callable[[], object]) -> float:
    """The median time of a call on the GPU, from a cold L2 cache."""
    milliseconds = triton.testing.do_bench(run, return_mode="median")
    assert isinstance(milliseconds, float)
    return 1e-3 * milliseconds


def _line(result: Result) -> str:
    if result.problems:
        return f"{result.case:36} WRONG: {'; '.join(result.problems)}"
    if result.microseconds is None:
        return f"{result.case:36} right"
    share = f"{result.share_of_ceiling:6.1%} of the ceiling"
    return f"{result.case:36} {result.microseconds:10.1f} µs  {share}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.kernels.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("only", nargs="?", default="", help="only cases with this in their name")
    default = "cpu" if INTERPRETED else "cuda"
    parser.add_argument("--device", default=default, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    main()
