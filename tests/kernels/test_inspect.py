"""What the compilers make of the kernels for an H100 or H200 (sm_90) and an RTX 4090 (sm_89)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict

import interpreted as interpreted
import pytest

from palimpsest.kernels.cases import RELEASED, all_cases

SHARED_BYTES = {90: 227 * 1024, 89: 99 * 1024}
"""That one program may have (CUDA programming guide, technical specifications)."""
PRODUCTS = {(90, True): "QGMMA", (90, False): "HGMMA", (89, True): "QMMA", (89, False): "HMMA"}
"""The tensor cores' instructions for eight and sixteen bits."""
CASES = {case.name: case for case in all_cases(RELEASED, itemsize=2)}
WEIGHTS_OF_A_STEP = {"gate and up": 16_384, "down": 32_768}
"""Of experts in 6 and 4 bits: two parts of 128 rows by 64 columns, or four."""
EXPANSION = {"LOP3", "SHF", "IMAD", "PRMT", "LDS"}
"""All that bits are moved with and loaded by, addresses and scales among them."""
INSTRUCTIONS = {
    ("expert gate and up, 256 rows w6a8", 90): (1.02, 2.4),
    ("expert gate and up, 256 rows w4a8", 90): (0.94, 2.2),
    ("expert down, 256 rows w6a8", 90): (0.94, 2.4),
    ("expert down, 256 rows w4a8", 90): (0.87, 2.2),
}
"""Of the expansion and of the whole loop, a weight, as issued; what they may be at most. With 32
rows a tile, scales take half an instruction a weight in the first product and three quarters of one
in the second.
"""
Codes = dict[tuple[str, int], list[dict]]
"""By case and compute capability."""


@pytest.fixture(scope="module")
def codes() -> Codes:
    # processes of their own, as in this one kernels are interpreted
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "palimpsest.kernels.inspect", "--json", "--capability"]
    runs = [
        subprocess.Popen([*command, str(capability)], env=environment, stdout=subprocess.PIPE)
        for capability in SHARED_BYTES
    ]
    by_case = defaultdict(list)
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == 0
        for code in json.loads(output):
            by_case[code["case"], code["capability"]].append(code)
    return by_case


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
capability = pytest.mark.parametrize("capability", SHARED_BYTES)


@capability
@pytest.mark.parametrize("name", CASES)
def test_no_register_is_spilled_and_shared_memory_suffices(
    codes: Codes, name: str, capability: int
) -> None:
    assert codes[name, capability]
    for code in codes[name, capability]:
        assert code["spilled_bytes"] == 0
        assert not {"LDL", "STL"} & set(code["instructions"])
        assert code["shared_bytes"] <= SHARED_BYTES[capability]


@capability
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.multiplies])
def test_products_run_on_the_tensor_cores_of_their_numbers(
    codes: Codes, name: str, capability: int
) -> None:
    used = {opcode for code in codes[name, capability] for opcode in code["instructions"]}
    assert used & set(PRODUCTS.values()) == {PRODUCTS[capability, CASES[name].quantised]}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.multiplies])
def test_tiles_of_products_come_by_the_copy_engine_of_hopper(codes: Codes, name: str) -> None:
    assert any("UTMALDG" in code["instructions"] for code in codes[name, 90])


@capability
@pytest.mark.parametrize("name", CASES)
def test_launches_come_early_on_hopper_and_wait_before_they_touch_memory(
    codes: Codes, name: str, capability: int
) -> None:
    for code in codes[name, capability]:
        assert code["comes_early"] == code["waits_first"] == (capability == 90)


@pytest.mark.parametrize(("name", "capability"), INSTRUCTIONS)
def test_few_bits_become_operands_within_few_instructions(
    codes: Codes, name: str, capability: int
) -> None:
    [code] = codes[name, capability]
    [of_a_step] = [count for product, count in WEIGHTS_OF_A_STEP.items() if product in name]
    of_a_thread = of_a_step / (32 * code["warps"])
    expansion = sum(code["loop"].get(opcode, 0) for opcode in EXPANSION)
    most_of_expansion, most_in_all = INSTRUCTIONS[name, capability]
    assert expansion / of_a_thread <= most_of_expansion
    assert sum(code["loop"].values()) / of_a_thread <= most_in_all
    # no bytes pass between threads, nor back to shared memory
    assert not {"SHFL", "STS", "PRMT", "STSM"} & set(code["loop"])
