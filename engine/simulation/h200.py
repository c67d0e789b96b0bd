"""The built-in machine: DiffusionGemma 26B-A4B in fp8 on one NVIDIA H200, **predicted**.

Nothing here was measured. The times are those of design/KERNELS.md, section 1, table "Pass time",
column "pred fp8": 9.3, 11.7, 16.5, 26.6 and 51.8 ms for 1, 2, 4, 8 and 16 canvases at a context of
1k, beside the same script's figures (tools/roofline.py) for 32k and 256k. Causal rows, and a pass
without canvases, come of the same formulas: they add rows to the layers and to attention, and none
to the language-model head and the soft embedding. Beyond 16 canvases the line from 8 to 16 goes on.
"""

from __future__ import annotations

from palimpsest.engine.simulation.machine import Machine, PassTimes

_CANVASES = (0, 1, 2, 4, 8, 16)
_CAUSAL_ROWS = (0, 256, 1024, 4096)
_MILLISECONDS = {  # context: one row for each number of canvases, one column for the causal rows
    1024: (
        (6.8, 8.0, 11.4, 31.3),
        (9.3, 10.4, 13.9, 34.6),
        (11.7, 12.7, 16.4, 37.8),
        (16.5, 17.7, 21.5, 44.2),
        (26.6, 28.0, 33.8, 57.1),
        (51.8, 53.7, 59.5, 82.8),
    ),
    32_768: (
        (6.8, 11.0, 23.6, 80.4),
        (12.3, 16.6, 29.2, 86.6),
        (17.8, 21.9, 34.8, 92.9),
        (28.7, 33.0, 46.0, 105.5),
        (51.1, 55.5, 70.6, 130.6),
        (100.8, 105.8, 120.8, 180.9),
    ),
    262_144: (
        (6.8, 33.2, 112.2, 434.6),
        (34.5, 60.9, 139.9, 463.1),
        (62.1, 88.3, 167.7, 491.5),
        (117.3, 143.8, 223.1, 548.3),
        (228.2, 254.8, 336.3, 662.0),
        (455.1, 482.2, 563.6, 889.4),
    ),
}

H200 = Machine(
    name="h200-fp8",
    source="predicted, not measured: design/KERNELS.md section 1, table 'Pass time', pred fp8",
    canvas_tokens=256,
    context_tokens=262_144,
    # 131 GiB x 0.9, less 25 of weights and some ten for the largest pass
    cache_bytes=80 * 2**30,
    # bf16 keys and values: 25 sliding layers of 8 heads x 256, 5 full ones of 2 heads x 512
    bytes_per_token={1024: 25 * 2 * 8 * 256 * 2, None: 5 * 2 * 2 * 512 * 2},
    times=PassTimes(
        {
            (canvases, rows, context): milliseconds / 1000
            for context, table in _MILLISECONDS.items()
            for canvases, line in zip(_CANVASES, table, strict=True)
            for rows, milliseconds in zip(_CAUSAL_ROWS, line, strict=True)
        }
    ),
)
