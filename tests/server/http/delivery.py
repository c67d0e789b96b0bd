"""How long drafts are under way to browsers, and what each costs the server: `make delivery`.

The engine is a metronome, so that all of the time is the server's, the kernel's and this reader's,
who shares the machine. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator

import metronome
from browser_streams import connect_stream
from metronome_server import Metronome, metronome_server

from palimpsest.v1 import canvas_pb2, generation_pb2, prompt_pb2, sampling_pb2

WARM_UP_S = 1.0


def request(seconds: float, hz: float) -> generation_pb2.StreamGenerateRequest:
    """What the page asks for, for more than `seconds`."""
    canvases = 2 + round((seconds + 2 * WARM_UP_S) * hz / metronome.STEPS)
    return generation_pb2.StreamGenerateRequest(
        input=generation_pb2.GenerationInput(
            prompt=prompt_pb2.Prompt(text="a"),
            sampling=sampling_pb2.SamplingParameters(
                seed=1, max_output_tokens=canvases * metronome.CANVAS_LENGTH
            ),
        ),
        preview=canvas_pb2.PreviewOptions(
            mode=canvas_pb2.PREVIEW_MODE_TOKENS,
            max_rate_hz=1_000,  # the engine keeps the pace
            include_confidence=True,
            include_accepted_mask=True,
            include_entropy=True,
            include_token_texts=True,
        ),
    )


async def delays_ms(
    messages: AsyncIterator[generation_pb2.StreamGenerateResponse], begin_s: float, end_s: float
) -> list[float]:
    """From the end of a step until its draft was read, of drafts that came in this time."""
    found = []
    async for message in messages:
        now_s = time.monotonic()
        if now_s > end_s:
            break
        if now_s > begin_s and message.HasField("snapshot"):
            found.append(time.time_ns() / 1e6 - message.snapshot.mean_entropy / 1e3)
    return found


async def one_stream(
    server: Metronome, asked: generation_pb2.StreamGenerateRequest, begin_s: float, end_s: float
) -> list[float]:
    async with connect_stream(server.port, asked) as messages:
        return await delays_ms(messages, begin_s, end_s)


async def measured(server: Metronome, streams: int, hz: float, seconds: float) -> dict[str, float]:
    begin_s = time.monotonic() + WARM_UP_S
    asked = request(seconds, hz)
    reading = [
        asyncio.ensure_future(one_stream(server, asked, begin_s, begin_s + seconds))
        for _ in range(streams)
    ]
    await asyncio.sleep(WARM_UP_S)
    used_s = server.cpu_s()
    delays = sorted(delay for found in await asyncio.gather(*reading) for delay in found)
    used_s = server.cpu_s() - used_s
    return {
        "streams": streams,
        "drafts": len(delays),
        "drafts_per_stream_and_second": len(delays) / streams / seconds,
        "delay_ms_p50": statistics.median(delays),
        "delay_ms_p99": delays[len(delays) * 99 // 100],
        "server_cpu_us_per_draft": used_s / len(delays) * 1e6,
        "server_cpu_share_of_one_core": used_s / seconds,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--hz", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    with metronome_server(args.hz) as server:
        figures = asyncio.run(measured(server, args.streams, args.hz, args.seconds))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
