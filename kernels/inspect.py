"""`python -m palimpsest.kernels.inspect`: what the compiler makes of every kernel, without a GPU.

Compiles each case (cases/) for the given compute capabilities and reads registers,
spilled bytes, shared memory and instructions off the machine code. Prints a table, or JSON with
--json. Needs triton, which brings the assembler and disassembler.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from palimpsest.kernels.cases import RELEASED, Case, Make, all_cases
from palimpsest.kernels.fused.overlap import overlapping

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
CAPABILITIES = (90, 89)
NOTABLE = ("QGMMA", "HGMMA", "QMMA", "HMMA", "UTMALDG", "LDGSTS", "LDL", "STL")
"""Tensor cores in 8 and 16 bits by warp groups and by warps, loads by the copy engine, asynchronous
loads, and the reads and writes of spilled registers.
"""
MEMORY = {"LDG", "STG", "LD", "ST", "ATOM", "ATOMG", "RED", "LDGSTS", "UTMALDG", "UTMASTG"}
"""All that reads or writes what other kernels do."""
WAIT = "ACQBULK"
"""griddepcontrol.wait of the PTX ISA."""
PRODUCTS = {"QGMMA", "HGMMA", "QMMA", "HMMA"}
OPCODE = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCode:
    """One compiled kernel."""

    case: str
    kernel: str
    capability: int
    registers: int
    """Of a thread."""
    spilled_bytes: int
    """Of a thread's stack."""
    shared_bytes: int
    """Of a program."""
    warps: int
    instructions: dict[str, int]
    """How often each opcode stands in the code."""
    loop: dict[str, int]
    """How often in the shortest loop with a product of the tensor cores; nothing if there is none.
    """
    comes_early: bool
    """Whether its launch may be set up while the one before still runs."""
    waits_first: bool
    """Whether it waits for that one before it reads or writes anything."""


class Compiled(Protocol):
    """What Triton's compiler returns, as far as we read it."""

    asm: dict[str, bytes]
    metadata: Any


def inspect(cases: Iterable[Case], capability: int) -> Iterator[MachineCode]:
    """Compiles every case; what Triton or the assembler refuses is raised."""
    for case in cases:
        for kernel, compiled in _compiled(case, capability):
            yield _read(case.name, kernel, compiled, capability)


def _compiled(case: Case, capability: int) -> list[tuple[str, Compiled]]:
    """The kernels that a case launches, compiled instead of launched."""
    made: list[tuple[str, Compiled]] = []
    run = JITFunction.run

    def compile_only(kernel: JITFunction[Any], *args: object, **kwargs: object) -> None:
        compiled: Any = run(kernel, *args, **{**kwargs, "warmup": True})
        made.append((kernel.fn.__name__, compiled))

    with _target(capability), overlapping(), patch.object(JITFunction, "run", compile_only):
        given = case.inputs(Make(torch.device("meta"), torch.bfloat16))
        made.clear()  # inputs may be made by kernels of other cases
        case.run(given)
    return made


@contextmanager
def _target(capability: int) -> Iterator[None]:
    """Makes Triton believe that there is a device."""

    class Absent:
        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", capability, 32)

        def get_current_device(self) -> int:
            return capability  # compiled kernels are kept by device

        def get_current_stream(self, device: int) -> int:
            return 0

    before = triton.runtime.driver._active
    triton.runtime.driver._active = Absent()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        triton.runtime.driver._active = before


def _read(case: str, kernel: str, compiled: Compiled, capability: int) -> MachineCode:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = _run("cuobjdump", "--dump-resource-usage", file.name)
        code = _run("nvdisasm", "-c", file.name)
    opcodes = OPCODE.findall(code)
    touching = next(i for i, opcode in enumerate(opcodes) if opcode in MEMORY)
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", usage)[0]
    return MachineCode(
        case=case,
        kernel=kernel,
        capability=capability,
        registers=int(registers),
        spilled_bytes=int(stack),
        shared_bytes=compiled.metadata.shared,
        warps=compiled.metadata.num_warps,
        instructions=dict(Counter(opcodes)),
        loop=dict(Counter(_loop(code))),
        comes_early=compiled.metadata.launch_pdl,
        waits_first=WAIT in opcodes[:touching],
    )


def _loop(code: str) -> list[str]:
    """Opcodes of the shortest stretch between a label and a branch back to it that multiplies."""
    opcodes: list[str] = []
    labels: dict[str, int] = {}
    loops: list[list[str]] = []
    for line in code.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(opcodes)
        opcodes += OPCODE.findall(line)
        branch = re.search(r"\bBRA\b.*`\((\.L_\w+)\)", line)
        if branch and branch[1] in labels:
            loops.append(opcodes[labels[branch[1]] :])
    return min((loop for loop in loops if PRODUCTS & set(loop)), key=len, default=[])


def _run(tool: str, *arguments: str) -> str:
    command = [str(TOOLS / tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("only", nargs="?", default="", help="only cases with this in their name")
    parser.add_argument(
        "--capability",
        type=int,
        nargs="+",
        default=CAPABILITIES,
        help="compute capabilities to compile for (default: 90 89)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    arguments = parser.parse_args()
    cases = [case for case in all_cases(RELEASED, itemsize=2) if arguments.only in case.name]
    codes = [code for capability in arguments.capability for code in inspect(cases, capability)]
    if arguments.json:
        print(json.dumps([asdict(code) for code in codes]))
        return
    print(f"{'case':34} {'kernel':24} sm registers  spilled   shared  warps loop  instructions")
    for code in codes:
        notable = "  ".join(
            f"{n} {code.instructions[n]}" for n in NOTABLE if n in code.instructions
        )
        numbers = f"{code.registers:9} {code.spilled_bytes:8} {code.shared_bytes:8} {code.warps:6} "
        numbers += f"{sum(code.loop.values()):4}"
        print(f"{code.case:34} {code.kernel:24} {code.capability} {numbers}  {notable}")


if __name__ == "__main__":
    main()
