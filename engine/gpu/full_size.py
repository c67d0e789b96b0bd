"""`python -m palimpsest.engine.gpu.full_size`: passes of the released model's size on a GPU.

With random weights, in 8 and in 16 bits: passes of 1 to 32 canvases behind short and long contexts,
each as a CUDA graph; then the set-up that others publish, 1,024 tokens in, 1,024 out, 16 fixed
steps, one request at a time. Prints lines for people and, as the last line, one JSON document. Run
`python -m palimpsest.kernels.bench` first, which says whether the kernels are right.

`TRITON_INTERPRET=1 python -m palimpsest.engine.gpu.full_size --device cpu` runs the same program at
the size of a toy, without graphs and times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
import triton

from palimpsest.engine.cache import PagedCache, bytes_per_token
from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.gpu.graph import DenoisingPass, GraphedPass
from palimpsest.engine.gpu.layout import lay_out
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.released import random_weights, released_config
from palimpsest.engine.gpu.sampler import CanvasBatch, StepReading
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, Pages
from palimpsest.engine.segments import Segment
from palimpsest.kernels.fused.settle import CanvasProgress, CanvasRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    config: ModelConfig
    device: torch.device
    dtype: torch.dtype
    canvases: Sequence[int]
    contexts: Sequence[int]
    rounds: int
    """Timed passes; the median counts."""
    steps: int = 16
    """Of a canvas, fixed, in the published set-up."""
    answer_canvases: int = 4


def plan_for(device: torch.device) -> Plan:
    """The released size on a GPU, a toy's elsewhere."""
    config = released_config()
    if device.type == "cuda":
        canvases, contexts = (1, 2, 4, 8, 16, 32), (1024, 32_768)
        return Plan(
            config=config,
            device=device,
            dtype=torch.bfloat16,
            canvases=canvases,
            contexts=contexts,
            rounds=20,
        )
    kept = (config.layers[0], config.layers[FULL_LAYER])
    toy = replace(
        config,
        vocabulary_size=512,
        hidden_size=64,
        mlp_width=96,
        num_heads=4,
        num_experts=8,
        experts_per_token=2,
        expert_width=32,
        canvas_length=64,
        layers=tuple(_toy_layer(layer, index) for index, layer in enumerate(kept)),
    )
    return Plan(
        config=toy,
        device=device,
        dtype=torch.float32,
        canvases=(1,),
        contexts=(64,),
        rounds=1,
        steps=2,
        answer_canvases=2,
    )


FULL_LAYER = 5


def _toy_layer(layer: LayerConfig, index: int) -> LayerConfig:
    full = layer.window is None
    return replace(
        layer,
        index=index,
        head_dim=32 if full else 16,
        num_key_value_heads=1 if full else 2,
        window=None if full else 16,
    )


class Bench:
    """One set of weights, and passes over them."""

    def __init__(self, plan: Plan, *, quantised: bool) -> None:
        self.plan, self.config = plan, plan.config
        weights = random_weights(
            plan.config, quantised=quantised, device=plan.device, dtype=plan.dtype
        )
        longest = max(plan.contexts) + (plan.answer_canvases + 1) * plan.config.canvas_length
        self.windows = list(dict.fromkeys(layer.window for layer in plan.config.layers))
        # long contexts are measured with few canvases, so pages of the largest product suffice
        tokens = max(longest, max(plan.canvases) * (min(plan.contexts) + PAGE_TOKENS))
        self.counts = dict.fromkeys(self.windows, 2 * tokens // PAGE_TOKENS)
        cache = PagedCache(plan.config, self.counts, dtype=plan.dtype, device=plan.device)
        self.network = FusedNetwork.of(plan.config, weights, cache, quantised=quantised)

    def passes(self) -> Iterator[dict[str, object]]:
        """Milliseconds of a pass that denoises so many canvases behind a context."""
        for context in self.plan.contexts:
            for canvases in self.plan.canvases:
                if canvases * (context + PAGE_TOKENS) <= PAGE_TOKENS * self.counts[None]:
                    denoising = self.denoising(context, canvases=canvases)
                    yield {
                        "context": context,
                        "canvases": canvases,
                        "pass_ms": self.milliseconds(self.captured(denoising).run),
                    }

    def published_setup(self) -> dict[str, object]:
        """Output tokens per second of one request: a prompt, then canvases of fixed steps, each
        after the first committed in the pass of the next one's first step.
        """
        length, context = self.config.canvas_length, min(self.plan.contexts)
        first = self.captured(self.denoising(0, canvases=1, reading=context)).run
        later = [
            (
                self.captured(self.denoising(start - length, canvases=1, reading=length)).run,
                self.captured(self.denoising(start, canvases=1)).run,
            )
            for start in range(context, context + self.plan.answer_canvases * length, length)
        ]
        self._synchronise()
        began = time.perf_counter()
        _finish(first())
        first_draft = time.perf_counter() - began
        for number, (commit, denoise) in enumerate(later):
            for step in range(self.plan.steps):
                if number or step:
                    # a real loop looks at the end of every step before it launches the next
                    _finish(commit() if step == 0 else denoise())
        seconds = time.perf_counter() - began
        return {
            "prompt_tokens": context,
            "output_tokens": self.plan.answer_canvases * length,
            "steps_per_canvas": self.plan.steps,
            "seconds": seconds,
            "tokens_per_second": self.plan.answer_canvases * length / seconds,
            "first_draft_ms": 1e3 * first_draft,
        }

    def denoising(self, context: int, *, canvases: int, reading: int = 0) -> DenoisingPass:
        """Canvases behind `context` tokens and `reading` more that the same pass writes."""
        pages, length = Pages(self.counts), self.config.canvas_length
        segments = []
        for _ in range(canvases):
            table = PageTable(pages)
            table.extend(context)
            table.advance(context, [b"%d" % i for i in range(context // PAGE_TOKENS)])
            if reading:
                table.extend(reading)
                segments.append(self._segment(table, reading, context, causal=True))
            segments.append(self._segment(table, length, context + reading, causal=False))
        return DenoisingPass(
            network=self.network,
            layout=lay_out(segments, self.windows),
            batch=self._batch(canvases),
        )

    def captured(self, plain: DenoisingPass) -> DenoisingPass | GraphedPass:
        """As a graph, where there can be one."""
        return GraphedPass(plain) if self.plan.device.type == "cuda" else plain

    def milliseconds(self, run: Callable[[], StepReading]) -> float | None:
        """Of a call, the median; None where time means nothing."""
        _finish(run())
        times = []
        for _ in range(self.plan.rounds):
            self._synchronise()
            began = time.perf_counter()
            run()
            self._synchronise()
            times.append(1e3 * (time.perf_counter() - began))
        return sorted(times)[len(times) // 2] if self.plan.device.type == "cuda" else None

    def _segment(self, table: PageTable, count: int, start: int, *, causal: bool) -> Segment:
        tokens = torch.randint(self.config.vocabulary_size, (count,), device=self.plan.device)
        cache = self.network.cache.of(table)
        return Segment(cache=cache, token_ids=tokens, start=start, causal=causal)

    def _batch(self, canvases: int) -> CanvasBatch:
        device, length = self.plan.device, self.config.canvas_length

        def whole(value: int) -> torch.Tensor:
            return torch.full((canvases,), value, dtype=torch.int32, device=device)

        def real(value: float) -> torch.Tensor:
            return torch.full((canvases,), value, device=device)

        tokens = torch.zeros(canvases, length, dtype=torch.int32, device=device)
        return CanvasBatch(
            progress=CanvasProgress(
                tokens=tokens, draft=tokens.clone(), unchanged_steps=whole(0), step=whole(0)
            ),
            rules=CanvasRules(
                entropy_bound=real(0.1),
                confidence_threshold=real(0.0),
                stability_threshold=whole(1),
                max_steps=whole(2**30),
            ),
            seeds=torch.arange(canvases, device=device),
            canvas_index=whole(0),
            inverse_temperature=real(1 / 0.6),
            soft_embedding=torch.zeros(
                canvases * length, self.config.hidden_size, dtype=self.plan.dtype, device=device
            ),
        )

    def _synchronise(self) -> None:
        if self.plan.device.type == "cuda":
            torch.cuda.synchronize(self.plan.device)


def _finish(reading: StepReading) -> None:
    reading.settled.done.cpu()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.gpu.full_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    device = torch.device(parser.parse_args().device)
    plan = plan_for(device)
    document = {
        "benchmark": "the released model's size, random weights",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "interpreter",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "layers": [asdict(layer) for layer in plan.config.layers[:6]],
        "cache_bytes_per_token": {
            str(window): size for window, size in bytes_per_token(plan.config, plan.dtype).items()
        },
        "results": [_measure(plan, quantised=quantised) for quantised in (True, False)],
    }
    print(json.dumps(document))


def _measure(plan: Plan, *, quantised: bool) -> dict[str, object]:
    bench = Bench(plan, quantised=quantised)
    kind = "e4m3" if quantised else str(plan.dtype).removeprefix("torch.")
    rows = []
    for row in bench.passes():
        print(kind, row, file=sys.stderr)
        rows.append(row)
    setup = bench.published_setup()
    print(kind, setup, file=sys.stderr)
    memory = torch.cuda.max_memory_allocated() if plan.device.type == "cuda" else None
    return {"weights": kind, "passes": rows, "published_setup": setup, "memory_bytes": memory}


if __name__ == "__main__":
    main()
