"""`make loading`: loads a made-up FP8 checkpoint of a tenth of the released size from disk, in a
process of its own, and prints what memory that takes and how long. `--format nvfp4` and the others
load so too.

Three of the thirty layers, with a tenth of the vocabulary; 0.5 GB a file instead of 5. The codes
are random bytes. It is loaded into bfloat16 on the CPU. "Beyond the model" is the largest resident
memory of the process, pages of files included, less what it had before and less the network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from released import CONFIG, released_entries

from palimpsest.engine.headers import INDEX, ITEM_BYTES, Entry
from palimpsest.engine.quantiser.formats import FORMATS
from palimpsest.engine.quantiser.writer import Writer

SIZES = {"num_hidden_layers": 3, "vocab_size": 26_214}
SHARD_BYTES = 500_000_000
BOUND = 1.5
"""Largest files that may be in memory beyond the model."""

LOAD = """
import json, sys, time
from pathlib import Path
import torch
from palimpsest.engine.config import read_config
from palimpsest.engine.weights import load_model

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))

folder = Path(sys.argv[1])
config = read_config(folder)
before, start, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
network = load_model(folder, config, dtype=torch.bfloat16, device=torch.device("cpu"))
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
model = sum(tensor.nbytes for tensor in network.state_dict().values())
told = {"before": before, "model": model, "peak": status("VmHWM")}
print(json.dumps(told | {"seconds": seconds, "cpu_seconds": cpu_seconds}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="loading", description=__doc__)
    parser.add_argument("--format", choices=FORMATS, default="fp8-dynamic")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        largest, total = write_checkpoint(folder, args.format)
        run = subprocess.run(
            [sys.executable, "-c", LOAD, str(folder)], stdout=subprocess.PIPE, text=True, check=True
        )
    told = json.loads(run.stdout)
    beyond = told["peak"] - told["before"] - told["model"]
    print(f"files {total / 1e9:.2f} GB, the largest {largest / 1e9:.2f} GB")
    print(f"network {told['model'] / 1e9:.2f} GB in bfloat16")
    print(f"beyond the model {beyond / 1e9:.2f} GB, {beyond / largest:.2f} times the largest file")
    for clock in ("seconds", "cpu_seconds"):
        seconds = told[clock]
        print(f"{clock}: {seconds:.1f}, {seconds / (total / 1e9):.1f} per GB of files")
    document = told | {"format": args.format, "largest_file": largest, "files": total}
    print(json.dumps(document | {"beyond": beyond}))
    sys.exit(beyond > BOUND * largest)


def write_checkpoint(folder: Path, format: str) -> tuple[int, int]:
    """Files of random bytes with the right names; bytes of the largest, and of all."""
    config = CONFIG | {
        "text_config": CONFIG["text_config"] | SIZES,
        "quantization_config": dict(FORMATS[format].config),
    }
    (folder / "config.json").write_text(json.dumps(config))
    files = _files(released_entries(folder, format))
    weight_map = {}
    for number, entries in enumerate(files):
        name = f"model-{number + 1:05}-of-{len(files):05}.safetensors"
        weight_map |= dict.fromkeys(entries, name)
        by_width = sorted(entries.items(), key=lambda e: -ITEM_BYTES.get(e[1].dtype, 1))
        with Writer(folder / name, dict(by_width)) as writer:
            for tensor, entry in entries.items():
                writer.write(tensor, _numbers(entry))
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    return max(sizes), sum(sizes)


def _files(entries: dict[str, Entry]) -> list[dict[str, Entry]]:
    """Of at most SHARD_BYTES, in the order of the names."""
    files: list[dict[str, Entry]] = [{}]
    for name, entry in sorted(entries.items()):
        size = sum(other.num_bytes for other in files[-1].values())
        if size + entry.num_bytes > SHARD_BYTES:
            files.append({})
        files[-1][name] = entry
    return files


def _numbers(entry: Entry) -> torch.Tensor:
    """Bytes that are finite in every dtype."""
    width = ITEM_BYTES.get(entry.dtype, 1)
    return torch.randint(0, 60, (*entry.shape, width), dtype=torch.uint8)


if __name__ == "__main__":
    main()
