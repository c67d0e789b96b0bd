"""`python -m palimpsest.engine.bench_batch`: many requests at once beside transformers' `generate`.

The same questions of all skills without pictures, once through the engine, which takes them all,
once through transformers in left-padded batches; same checkpoint, dtype, threads and default
settings, in turns in one run. Tokens are those of the answers, up to their end token. Prints a line
for people and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence as Listed
from random import Random

import torch

from palimpsest.engine.checkpoint import checkpoint_folder
from palimpsest.engine.commands import Submit
from palimpsest.engine.diffusion import StepFigures
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.loading import load
from palimpsest.engine.options import BUNDLED, EngineOptions
from palimpsest.engine.runner import Runner, Sequences
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.scheduler import Turn
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.items import draw
from palimpsest.engine.training.skills import SEEING, SKILLS

MAX_OUTPUT_TOKENS = 192
Prompts = Listed[Listed[int]]


def main() -> None:
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    prompts = _prompts(arguments.requests)
    model, _ = load(EngineOptions(device="cpu", dtype=arguments.dtype), lambda *_: None)
    theirs = _theirs(prompts, arguments)
    speeds: dict[str, list[float]] = {"ours": [], "transformers": []}
    for turn in range(arguments.rounds + 1):
        for name, run in (("ours", lambda: _ours(model, prompts)), ("transformers", theirs)):
            start = time.perf_counter()
            tokens = run()
            if turn:  # the first run of each warms up
                speeds[name].append(tokens / (time.perf_counter() - start))
    ours, reference = (statistics.median(values) for values in speeds.values())
    print(
        f"{arguments.requests} requests: ours {ours:,.0f} tok/s, transformers in batches of "
        f"{arguments.batch} {reference:,.0f} tok/s, ratio {ours / reference:.2f}",
        file=sys.stderr,
    )
    share = _bookkeeping_share(model, prompts)
    print(f"scheduling and bookkeeping take {share:.1%} of the engine's time", file=sys.stderr)
    document = {
        "benchmark": "answer tokens per second over all requests, on the CPU",
        **vars(arguments),
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "random": "seeds of the draws",
        "ours_tokens_per_second": round(ours, 1),
        "transformers_tokens_per_second": round(reference, 1),
        "ratio": round(ours / reference, 2),
        "bookkeeping_share": round(share, 4),
    }
    print(json.dumps(document))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.bench_batch", description=__doc__
    )
    parser.add_argument("--requests", type=int, default=64, help="questions, of all skills in turn")
    parser.add_argument("--batch", type=int, default=8, help="rows of a batch of transformers")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each, taken in turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    return parser


def _prompts(count: int) -> list[list[int]]:
    """Token ids of held-out questions."""
    source, random = ExampleSource(), Random(0)
    skills = [skill for skill in SKILLS if skill not in SEEING]
    items = [draw(SKILLS[skills[i % len(skills)]], random, held_out=True) for i in range(count)]
    return [source.encode(source.renderer.prompt(item)) for item in items]


class _Timed:
    """Knows how long a runner ran."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.computing_s = runner, 0.0
        self.device_ns: int | None = None

    def run(self, turns: Listed[Turn], sequences: Sequences) -> list[StepFigures | None]:
        start = time.perf_counter()
        figures = self.runner.run(turns, sequences)
        self.computing_s += time.perf_counter() - start
        return figures


def _bookkeeping_share(model: LoadedModel, prompts: Prompts) -> float:
    """Of the time of all steps: what is neither network nor sampler."""
    engine = Engine(model)
    engine.runner = timed = _Timed(engine.runner)
    start = time.perf_counter()
    _run(engine, prompts)
    return 1 - timed.computing_s / (time.perf_counter() - start)


def _ours(model: LoadedModel, prompts: Prompts) -> int:
    """Answer tokens of all requests, from an engine whose cache is empty."""
    return _run(Engine(model), prompts)


def _run(engine: Engine, prompts: Prompts) -> int:
    requests = [
        Submit(
            request_id=number,
            prompt_ids=tuple(prompt),
            sampling=Sampling(max_output_tokens=MAX_OUTPUT_TOKENS, seed=number),
            drafts=True,
        )
        for number, prompt in enumerate(prompts)
    ]
    events = list(engine.step(requests))
    while engine.busy:
        events += engine.step([])
    return sum(len(event.token_ids) for event in events if isinstance(event, Committed))


def _theirs(prompts: Prompts, arguments: argparse.Namespace) -> Callable[[], int]:
    # imported late: serving never needs the reference
    from transformers import DiffusionGemmaForBlockDiffusion

    folder = checkpoint_folder(BUNDLED)
    dtype = getattr(torch, arguments.dtype)
    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=dtype)
    ends = set(model.generation_config.eos_token_id)
    batches = [prompts[i : i + arguments.batch] for i in range(0, len(prompts), arguments.batch)]

    def run() -> int:
        torch.manual_seed(0)
        return sum(_answer_tokens(model, batch, ends) for batch in batches)

    return run


def _answer_tokens(model: torch.nn.Module, prompts: Prompts, ends: set[int]) -> int:
    """Tokens before the first end token of each row of one left-padded batch."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(  # pyright: ignore[reportCallIssue]
        ids, attention_mask=mask, max_new_tokens=MAX_OUTPUT_TOKENS
    )
    rows = getattr(output, "sequences", output)[:, width:].tolist()
    return sum(next((i for i, t in enumerate(row) if t in ends), len(row)) for row in rows)


if __name__ == "__main__":
    main()
