"""Readers over HTTP who stop reading: they cost bounded memory, and lose drafts but no commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import metronome
import pytest
from browser_streams import chat_stream, connect_stream
from metronome_server import Metronome, metronome_server

from palimpsest.v1 import canvas_pb2, generation_pb2, prompt_pb2, sampling_pb2

HZ = 200
STALL_S = float(os.environ.get("PALIMPSEST_STALL_S", "2"))
CANVASES = max(round(STALL_S * HZ / metronome.STEPS), 1)
OFFERED = CANVASES * (metronome.STEPS - 1)
"""Drafts; the last of a canvas comes with its commit, and is left out."""
READERS = 16
BYTES_PER_READER = 256 * 2**10 + CANVASES * 4 * 2**10
"""64 KiB wait to be written, and all commits; the rest is what serving so many at once takes."""
TEXT = "".join(chr(ord("a") + i % 26) * metronome.CANVAS_LENGTH for i in range(CANVASES))

Told = AsyncIterator[str | None]
"""The text of each commit, None for each draft."""
Stream = Callable[[Metronome], contextlib.AbstractAsyncContextManager[Told]]


@pytest.fixture(scope="module")
def beating() -> Iterator[Metronome]:
    with metronome_server(HZ) as server:
        yield server


@contextlib.asynccontextmanager
async def over_connect(server: Metronome) -> AsyncIterator[Told]:
    sampling = sampling_pb2.SamplingParameters(
        seed=1, max_output_tokens=CANVASES * metronome.CANVAS_LENGTH
    )
    preview = canvas_pb2.PreviewOptions(
        mode=canvas_pb2.PREVIEW_MODE_TOKENS,
        max_rate_hz=1_000,
        include_confidence=True,
        include_token_texts=True,
    )
    asked = generation_pb2.GenerationInput(prompt=prompt_pb2.Prompt(text="a"), sampling=sampling)
    request = generation_pb2.StreamGenerateRequest(input=asked, preview=preview)
    async with connect_stream(server.port, request) as messages:
        yield _of_messages(messages)


async def _of_messages(
    messages: AsyncIterator[generation_pb2.StreamGenerateResponse],
) -> Told:
    async for message in messages:
        if message.HasField("snapshot"):
            yield None
        elif message.HasField("commit"):
            yield message.commit.text_delta


@contextlib.asynccontextmanager
async def over_sse(server: Metronome) -> AsyncIterator[Told]:
    asked = {
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": CANVASES * metronome.CANVAS_LENGTH,
        "diffusion": {"previews": True, "max_rate_hz": 1_000},
    }
    async with chat_stream(server.port, asked) as chunks:
        yield _of_chunks(chunks)


async def _of_chunks(chunks: AsyncIterator[dict[str, Any]]) -> Told:
    async for chunk in chunks:
        if "diffusion" in chunk:
            yield None
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                yield text


async def read(told: Told) -> tuple[int, str]:
    """How many drafts came, and the text of all commits."""
    drafts, text = 0, ""
    async for commit in told:
        drafts += commit is None
        text += commit or ""
    return drafts, text


@pytest.mark.slow
@pytest.mark.parametrize("stream", [over_connect, over_sse], ids=["connect", "sse"])
async def test_readers_who_stop_reading_cost_little_and_lose_no_commit(
    beating: Metronome, stream: Stream
) -> None:
    async with stream(beating) as told:
        await read(told)
    before = beating.resident_bytes()
    async with contextlib.AsyncExitStack() as stack:
        stalled = [await stack.enter_async_context(stream(beating)) for _ in range(READERS)]
        # it began last, so that all the others have been written when it ends
        async with stream(beating) as told:
            drafts, text = await read(told)
        grown = beating.resident_bytes() - before
        late = await asyncio.gather(*map(read, stalled))
    seen = [drafts for drafts, _ in late]
    print(f"{grown / 2**20:.1f} MiB more; of {OFFERED} drafts {drafts} and {min(seen)}-{max(seen)}")
    assert [text, *(text for _, text in late)] == [TEXT] * (1 + READERS)
    assert max(seen) < OFFERED / 2
    assert grown < READERS * BYTES_PER_READER
