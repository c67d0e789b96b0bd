"""`python -m palimpsest.engine.gpu.full_size`: the released model's size on a GPU.

With random weights in 8 and in 16 bits, and in brief with experts in 6 and in 4. First whether it
is right: two layers beside the plain network, and graphs beside single launches; no speed is told
of what is wrong. Then passes of 1 to 64 canvases behind short and long contexts, each as a CUDA
graph; the set-up that others publish, 1,024 tokens in, 1,024 out, 16 fixed steps, one request at a
time; the same network one token a pass; logits in eight bits; transformers' `generate`; and
launches that come before the last one has ended. In brief there are at most 4 canvases, and memory
is that of one long context. Prints lines for people and, as the last line, one JSON document; ends
with 1 if anything is wrong. Run `python -m palimpsest.kernels.bench` first, which checks and times
the kernels one by one.

`TRITON_INTERPRET=1 python -m palimpsest.engine.gpu.full_size --device cpu` runs the same program at
the size of a toy, without graphs and times.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path

import torch
import triton

from palimpsest.engine.gpu.full_size.checks import fused_is_plain, graph_is_eager
from palimpsest.engine.gpu.full_size.passes import Passes
from palimpsest.engine.gpu.full_size.reference import reference
from palimpsest.engine.gpu.full_size.sizes import Plan, plan_for
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.pages import Pages

PROFILED_PASSES = 3
IN_FULL = (WeightFormat.W8A8, WeightFormat.PLAIN)
BRIEFLY = (WeightFormat.W6A8, WeightFormat.W4A8)


@torch.inference_mode()
def main() -> None:
    arguments = _parser().parse_args()
    plan = plan_for(torch.device(arguments.device))
    results: list[dict[str, object]] = []
    document = {
        "benchmark": "the released model's size, random weights",
        "device": torch.cuda.get_device_name(plan.device) if plan.is_timed else "interpreter",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "random": "weights, prompts and canvases",
        "sizes": plan.raw["text_config"],
        "results": results,
    }
    try:
        for form in IN_FULL:
            results.append(_measure(plan, form, arguments.profile))
        for form in BRIEFLY:
            results.append(_measure(plan.brief(), form, arguments.profile, briefly=True))
        document["transformers"] = _said("transformers", reference(plan))
        _free()
        # a capture that fails may spoil what follows, so nothing does
        document["early_launches"] = _said("early", _early(plan.brief()))
    finally:
        # what was measured before the device failed is told
        print(json.dumps(document))
    sys.exit(any(result["problems"] for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.gpu.full_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument(
        "--profile", type=Path, help="folder for timelines of a pass, for a browser's trace viewer"
    )
    return parser


def _measure(
    plan: Plan, form: WeightFormat, profile: Path | None, *, briefly: bool = False
) -> dict[str, object]:
    kind = form.value if form.quantised else str(plan.dtype).removeprefix("torch.")
    problems = fused_is_plain(plan, weight_format=form)
    _free()
    passes = Passes(plan, weight_format=form)
    problems += graph_is_eager(passes)
    if problems:
        return _said(kind, {"weights": kind, "problems": problems})
    made = {
        "weights": kind,
        "problems": problems,
        "passes": [_said(kind, row) for row in passes.times()],
        "published_setup": _said(kind, passes.published_setup()),
        "memory_bytes": torch.cuda.max_memory_allocated() if plan.is_timed else None,
    }
    if not briefly:
        made["dense_after_experts"] = _said(kind, passes.one_after_the_other())
        made["one_token_a_pass"] = _said(kind, passes.one_token())
        made["fp8_head"] = _said(kind, passes.fp8_head())
    if profile is not None:
        _profile(passes, profile / f"{kind}.json")
    del passes
    _free()
    return made


def _early(plan: Plan) -> dict[str, object]:
    """Time of launches that come early, in 8 bits, or why not: nobody runs them so yet, so no other
    figure is lost over them.
    """
    try:
        passes = Passes(plan, weight_format=WeightFormat.W8A8)
        problems = graph_is_eager(passes, early=True)
        return {"problems": problems} if problems else passes.overlapped()
    except RuntimeError as problem:
        return {"problems": [str(problem).partition("\n")[0]]}


def _profile(passes: Passes, path: Path) -> None:
    """A timeline of the kernels of some passes of one canvas."""
    parts = passes.parts(Pages(passes.counts), min(passes.plan.contexts))
    program = passes.program(parts, eager=not passes.plan.is_timed)
    program.run(parts, [passes.stepping(0, 0)])
    with torch.profiler.profile() as profiler:
        for step in range(1, 1 + PROFILED_PASSES):
            program.run(parts, [passes.stepping(0, step)])
    path.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(path))


def _free() -> None:
    """What nobody holds, for the next set of weights."""
    # a program that is not captured holds itself, and with it weights and cache
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _said(kind: str, row: dict[str, object]) -> dict[str, object]:
    print(kind, row, file=sys.stderr)
    return row


if __name__ == "__main__":
    main()
