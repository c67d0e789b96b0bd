"""`python -m palimpsest.engine.bench`: our denoising step beside transformers' `generate`.

Same checkpoint, same prompt, same fixed number of steps, same threads, taken in turns so that
whatever else the machine does hits both. Prints a table for people and, as the last line, one JSON
document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from palimpsest.engine.checkpoint import checkpoint_folder
from palimpsest.engine.commands import Submit
from palimpsest.engine.config import read_config, read_json
from palimpsest.engine.engine import Engine
from palimpsest.engine.loading import load
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.options import BUNDLED, EngineOptions
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.text import TextCodec
from palimpsest.engine.training.export import export
from palimpsest.engine.training.loop import initialise

PROMPT = "count from 7 to 40"
WIDE_VOCABULARY, WIDE_CANVAS = 16_384, 256
WIDE_NAME = f"random weights, vocabulary {WIDE_VOCABULARY}, canvas {WIDE_CANVAS}"
NEVER_SURE = 1e-30
"""Confidence threshold that no canvas meets; the reference refuses 0."""


def main() -> None:
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        wide = _wide_checkpoint(Path(scratch))
        for name, model in ((arguments.model, arguments.model), (WIDE_NAME, str(wide))):
            for dtype in ("float32", "bfloat16"):
                row = {"model": name, "dtype": dtype, **_compare(model, dtype, arguments)}
                results.append(row)
                print(
                    f"{name}  {dtype:9} ours {row['ours_ms']:7.2f} ms a step   "
                    f"transformers {row['transformers_ms']:7.2f} ms   ratio {row['ratio']:.2f}",
                    file=sys.stderr,
                )
    document = {
        "benchmark": "denoising step on the CPU",
        "steps_per_canvas": arguments.steps,
        "canvases": arguments.canvases,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "random": "seeds, and the weights of the second checkpoint",
        "results": results,
    }
    print(json.dumps(document))


def _wide_checkpoint(folder: Path) -> Path:
    """The bundled network with random weights, its vocabulary and canvas nearer to the release."""
    bundled = checkpoint_folder(BUNDLED)
    config = read_json(bundled / "config.json")
    config["canvas_length"] = WIDE_CANVAS
    config["text_config"]["vocab_size"] = WIDE_VOCABULARY
    source = folder / "source.json"
    source.write_text(json.dumps(config), encoding="utf-8")
    shape = replace(
        read_config(bundled), vocabulary_size=WIDE_VOCABULARY, canvas_length=WIDE_CANVAS
    )
    torch.manual_seed(0)
    network = DiffusionGemma(shape)
    initialise(network)
    export(network.state_dict(), source, folder / "wide")
    return folder / "wide"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m palimpsest.engine.bench", description=__doc__)
    parser.add_argument("--model", default="bundled", help="checkpoint folder (default: bundled)")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of every canvas")
    parser.add_argument("--canvases", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="timed runs of each, taken in turns")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def _compare(model: str, dtype: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Median ms of a step, prefill and commits shared out, and how many times ours is faster."""
    folder = checkpoint_folder(model)
    codec = TextCodec(checkpoint_folder(BUNDLED))
    prompt = codec.encode_chat([{"role": "user", "content": PROMPT}])
    ours = _ours(model, dtype, prompt, arguments)
    theirs = _theirs(folder, dtype, prompt, arguments)
    steps = arguments.steps * arguments.canvases
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(arguments.rounds + 1):
        for name, run in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            run(turn)
            if turn:  # the first run of each warms up
                times[name].append((time.perf_counter() - start) * 1000 / steps)
    ours_ms, theirs_ms = (statistics.median(values) for values in times.values())
    return {
        "ours_ms": round(ours_ms, 3),
        "transformers_ms": round(theirs_ms, 3),
        "ratio": round(theirs_ms / ours_ms, 2),
    }


def _ours(
    model: str, dtype: str, prompt: list[int], arguments: argparse.Namespace
) -> Callable[[int], None]:
    loaded, info = load(EngineOptions(model=model, dtype=dtype, device="cpu"), lambda *_: None)
    # without end tokens, and with no canvas ever sure enough, each takes all its steps
    endless = replace(loaded, limits=replace(loaded.limits, end_token_ids=frozenset()))
    engine = Engine(endless)

    def run(seed: int) -> None:
        sampling = Sampling(
            max_output_tokens=arguments.canvases * info.canvas_length,
            max_denoising_steps=arguments.steps,
            confidence_threshold=NEVER_SURE,
            seed=seed,
        )
        submit = Submit(request_id=1, prompt_ids=tuple(prompt), sampling=sampling, drafts=True)
        engine.step([submit])
        while engine.busy:
            engine.step([])

    return run


def _theirs(
    folder: Path, dtype: str, prompt: list[int], arguments: argparse.Namespace
) -> Callable[[int], None]:
    # imported late: serving never needs the reference
    from transformers import DiffusionGemmaForBlockDiffusion

    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.generation_config.eos_token_id = None
    ids = cast(torch.LongTensor, torch.tensor([prompt]))

    def run(seed: int) -> None:
        torch.manual_seed(seed)
        model.generate(
            ids,
            max_new_tokens=arguments.canvases * model.config.canvas_length,
            max_denoising_steps=arguments.steps,
            confidence_threshold=NEVER_SURE,
        )

    return run


if __name__ == "__main__":
    main()
