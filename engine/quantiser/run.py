"""Quantising: source folder in, new folder out, file by file and one linear layer at a time."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from palimpsest.engine.config import read_config, read_json
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import INDEX
from palimpsest.engine.quantised.detection import KEY, MODELOPT_FILE, detect
from palimpsest.engine.quantised.places import DECODER
from palimpsest.engine.quantised.scheme import Codec
from palimpsest.engine.quantiser.formats import FORMATS, Format, layer_and_group, shares_scale
from palimpsest.engine.quantiser.layout import Output, outputs
from palimpsest.engine.quantiser.record import RECORD, Layer, Record, Squares, read_record
from palimpsest.engine.quantiser.source import Source
from palimpsest.engine.quantiser.writer import UNFINISHED, Writer

Progress = Callable[[int, int], None]
"""Called with bytes of the new files that are written, and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it."""

    record: Record
    bytes_before: int
    bytes_after: int
    found: int
    """Files that an earlier run had written."""


def quantise(source: Path, target: Path, format: str, *, force: bool, progress: Progress) -> Done:
    """Writes the checkpoint of folder `source` to folder `target`; goes on where an earlier run was
    cut short. Raises CheckpointError.
    """
    _refuse_quantised(source, FORMATS[format], force=force)
    if target.resolve() == source.resolve():
        raise CheckpointError(f"{target}: is the source; give another folder")
    with Source(source, read_config(source), joined=FORMATS[format].joined) as opened:
        files = outputs(opened, FORMATS[format])
        record = _record_of(opened, target, format)
        there = [output for output in files if _is_done(output, record, target)]
        sizes = {output.name: _bytes(output) for output in files}
        counter = _Counter(progress, sum(sizes.values()))
        for output in files:
            if output in there:
                counter.count(sizes[output.name])
                continue
            record.files[output.name] = _write(opened, FORMATS[format], output, target, counter)
            record.save(target)
            opened.close_files()
    _finish(source, target, FORMATS[format], files)
    before = sum(path.stat().st_size for path in opened.files)
    after = sum((target / output.name).stat().st_size for output in files)
    return Done(record=record, bytes_before=before, bytes_after=after, found=len(there))


class _Counter:
    """Bytes written so far."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def count(self, num_bytes: int) -> None:
        self._done += num_bytes
        self._progress(self._done, self._total)


def _refuse_quantised(source: Path, format: Format, *, force: bool) -> None:
    found = detect(source)
    if found is None or force:
        return
    raise CheckpointError(
        f"{source}: is quantised already, {found.name}: its weights would be rounded once "
        f"more, and this format's own error of {format.error} would come on top of theirs; "
        "quantise the BF16 checkpoint instead, or give --force"
    )


def _record_of(source: Source, target: Path, format: str) -> Record:
    """Of an earlier run that this one goes on with, or a new one."""
    sizes = {path.name: path.stat().st_size for path in source.files}
    earlier = read_record(target) if target.is_dir() else None
    if earlier is not None:
        if (earlier.format, earlier.source) != (format, sizes):
            raise CheckpointError(
                f"{target}: holds a {earlier.format} checkpoint of another source; "
                "give another folder or remove it"
                if earlier.format == format
                else f"{target}: was begun as {earlier.format}; give another folder or remove it"
            )
        return earlier
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target}: is there already and is no empty folder; give another")
    target.mkdir(parents=True, exist_ok=True)
    record = Record(format=format, source=sizes)
    record.save(target)
    return record


def _is_done(output: Output, record: Record, target: Path) -> bool:
    return output.name in record.files and (target / output.name).is_file()


def _bytes(output: Output) -> int:
    return sum(entry.num_bytes for entry in output.entries.values())


def _write(
    source: Source, format: Format, output: Output, target: Path, counter: _Counter
) -> dict[Layer, Squares]:
    """One file; returns the errors of its linear layers."""
    errors: dict[Layer, Squares] = defaultdict(Squares)
    with Writer(target / output.name, output.entries) as writer:
        for name, tensor in _unchanged(source, output):
            writer.write(name, tensor)
            counter.count(tensor.nbytes)
        for linear in output.linears:
            codec, layer = format.codec(linear), layer_and_group(linear)
            assert codec is not None
            assert layer is not None
            parts, squares = _encoded(source, codec, linear)
            errors[layer].add(squares)
            for last, tensor in parts.items():
                writer.write(f"{DECODER}{linear}.{last}", tensor)
                counter.count(tensor.nbytes)
    return dict(errors)


def _unchanged(source: Source, output: Output) -> Iterator[tuple[str, Tensor]]:
    for new, old in output.kept.items():
        yield new, source.tensor(old)
    for linear in output.expanded:
        yield f"{DECODER}{linear}.weight", source.weight(linear).bfloat16()


def _encoded(source: Source, codec: Codec, linear: str) -> tuple[dict[str, Tensor], Squares]:
    weight = source.weight(linear)
    if not torch.isfinite(weight).all():
        raise CheckpointError(f"{source.folder}: {linear} has weights that are not finite")
    others = [source.weight(other) for other in shares_scale(linear) if other != linear]
    largest = max(float(matrix.abs().max()) for matrix in (weight, *others))
    parts = codec.encode(weight, largest=largest)
    rows, columns = weight.shape
    error = (codec.decode(parts, rows=rows, columns=columns) - weight).double().square().sum()
    return parts, Squares(float(error), float(weight.double().square().sum()))


def _finish(source: Path, target: Path, format: Format, files: list[Output]) -> None:
    """The files beside the weights; config.json last, as without it nothing is served."""
    for path in target.glob(f"*{UNFINISHED}"):
        path.unlink()
    for path in source.iterdir():
        own = path.suffix == ".safetensors" or path.name in (INDEX, RECORD, MODELOPT_FILE)
        if path.is_file() and not own and path.name != "config.json":
            shutil.copyfile(path, target / path.name)
    if len(files) > 1:
        weight_map = {name: output.name for output in files for name in output.entries}
        total = sum(map(_bytes, files))
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (target / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    config = {**read_json(source / "config.json"), KEY: dict(format.config)}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
