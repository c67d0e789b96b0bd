"""What was found, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.inspector.groups import Group
from palimpsest.engine.inspector.room import Room

BF16 = "BF16 or wider, not quantised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Of one checkpoint."""

    folder: Path
    format: str
    config: ModelConfig
    groups: dict[str, Group]
    room: Room
    utilization: float
    kernels: str


def as_json(found: Inspection) -> dict[str, Any]:
    """Sizes in bytes, contexts in tokens."""
    place = found.room.place
    return {
        "path": str(found.folder),
        "format": found.format,
        "layers": len(found.config.layers),
        "experts": found.config.num_experts,
        "canvas_length": found.config.canvas_length,
        "max_context_tokens": found.config.max_context_tokens,
        "parameters": sum(group.parameters for group in found.groups.values()),
        "file_bytes": sum(group.file_bytes for group in found.groups.values()),
        "groups": {name: asdict(group) for name, group in found.groups.items()},
        "room": {
            "device": place.name,
            "memory_bytes": place.memory_bytes,
            "utilization": found.utilization,
            "dtype": str(place.dtype).removeprefix("torch."),
            "kernels": found.kernels,
            "weights_bytes": found.room.weights_bytes,
            "longest_context_by_canvases": found.room.contexts,
        },
    }


def show(found: Inspection, console: Console) -> None:
    """For people."""
    config = found.config
    console.print(f"{found.folder}: {found.format}", highlight=False)
    console.print(
        f"{len(config.layers)} layers, {config.num_experts} experts, canvas "
        f"{config.canvas_length}, context {config.max_context_tokens:,}",
        highlight=False,
    )
    console.print(_groups(found))
    console.print(_room(found))


def _groups(found: Inspection) -> Table:
    dtype = str(found.room.place.dtype).removeprefix("torch.")
    made = Table("group")
    for heading in ("parameters", "in files", f"in memory ({dtype})"):
        made.add_column(heading, justify="right")
    for name, group in found.groups.items():
        made.add_row(name, *_cells(group))
    total = Group(
        parameters=sum(group.parameters for group in found.groups.values()),
        file_bytes=sum(group.file_bytes for group in found.groups.values()),
        memory_bytes=sum(group.memory_bytes for group in found.groups.values()),
    )
    made.add_section()
    made.add_row("all", *_cells(total))
    return made


def _cells(group: Group) -> tuple[str, str, str]:
    return f"{group.parameters:,}", size(group.file_bytes), size(group.memory_bytes)


def _room(found: Inspection) -> Table:
    place = found.room.place
    made = Table(
        title=f"{place.name}, {size(place.memory_bytes)}, {found.utilization:.0%} of it used, "
        f"{found.kernels} kernels: weights {size(found.room.weights_bytes)}"
    )
    made.add_column("canvases at once", justify="right")
    made.add_column("longest context of each", justify="right")
    for count, context in found.room.contexts.items():
        made.add_row(str(count), f"{context:,}" if context else "does not fit")
    return made


def size(num_bytes: int) -> str:
    """In GB or MB."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 10**9 else f"{num_bytes / 1e6:.2f} MB"
