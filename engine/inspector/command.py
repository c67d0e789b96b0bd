"""`palimpsest inspect`: its flags, and what it says of a checkpoint.

Exit codes: 0 done · 2 bad input · 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from palimpsest.engine.checkpoint import checkpoint_folder
from palimpsest.engine.config import read_config
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.flags import EXIT_BAD_INPUT, Console, OneLineParser
from palimpsest.engine.inspector.groups import groups_of
from palimpsest.engine.inspector.report import BF16, Inspection, as_json, show
from palimpsest.engine.inspector.room import device_of, here, memory_size, room_in
from palimpsest.engine.memory import head_bytes, weight_bytes
from palimpsest.engine.options import KERNELS, EngineOptions
from palimpsest.engine.quantised.detection import detect
from palimpsest.engine.weights import contents_of

EXAMPLES = """\
examples:
  palimpsest inspect bundled
  palimpsest inspect /models/diffusiongemma-26B-A4B-it --gpu-memory 80GB
  palimpsest inspect /models/dg-fp8 --gpu-memory 40GB --kernels fused --json

Reads headers alone, so it takes no memory and hardly any time. What fits is counted as the server
counts it, with its usual settings.

exit codes: 0 done, 2 bad input."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    args = _parser().parse_args(arguments)
    try:
        found = inspect(args)
    except (CheckpointError, OSError, ValueError) as error:
        print(f"palimpsest inspect: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if args.json:
        print(json.dumps(as_json(found)))
    else:
        show(found, Console())
    return 0


def inspect(args: argparse.Namespace) -> Inspection:
    """What the flags ask for. Raises CheckpointError, or ValueError for a flag out of its bound."""
    folder = checkpoint_folder(args.path, named="path")
    options = EngineOptions(
        kernels=args.kernels,
        fp8_lm_head=args.fp8_lm_head,
        gpu_memory_utilization=args.gpu_memory_utilization,
    )
    quantised, contents = detect(folder), contents_of(folder, read_config(folder))
    place = here() if args.gpu_memory is None else device_of(args.gpu_memory)
    keep_codes = options.kernels == "fused"
    weights = weight_bytes(contents, place.dtype, keep_codes=keep_codes)
    weights += head_bytes(contents.config, options)
    return Inspection(
        folder=folder,
        format=BF16 if quantised is None else quantised.name,
        config=contents.config,
        groups=groups_of(contents, place.dtype, keep_codes=keep_codes),
        room=room_in(place, contents.config, options, weights_bytes=weights),
        utilization=options.gpu_memory_utilization,
        kernels=options.kernels,
    )


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="palimpsest inspect",
        description="Say what a checkpoint is and what of it fits where.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", help="checkpoint folder, or 'bundled'")
    parser.add_argument(
        "--gpu-memory",
        type=_memory,
        metavar="SIZE",
        help="memory of a CUDA device, such as 24GB (default: what this machine has)",
    )
    parser.add_argument(
        "--gpu-memory-utilization",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="share of it to use, as for serve (default: %(default)s)",
    )
    parser.add_argument(
        "--kernels",
        choices=KERNELS,
        default=KERNELS[0],
        help="as for serve: fused ones read FP8 weights as they are, plain torch has all weights "
        "in the dtype it computes in (default: %(default)s)",
    )
    parser.add_argument(
        "--fp8-lm-head",
        action="store_true",
        help="as for serve: beside the embedding, fused kernels have a copy of it in FP8",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _memory(text: str) -> int:
    try:
        return memory_size(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None
