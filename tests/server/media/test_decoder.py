"""Files in processes of their own: whatever happens there ends with the file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from files import encoded, film, noise, png_chunk, png_of

from palimpsest.engine.api import Overloaded, checkpoint_folder
from palimpsest.server.media.decoder import Decoder
from palimpsest.server.media.limits import FILES_AT_ONCE
from palimpsest.server.media.wire import Job

PNG = Job(format_name="PNG", budget=70)
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Decoder]:
    opened = Decoder(checkpoint_folder("bundled"))
    yield opened
    await opened.close()


@IN_ONE_LOOP
async def test_a_picture_comes_back_cut(decoder: Decoder) -> None:
    (frame,) = await decoder.decode(PNG, encoded(noise((480, 240))))
    assert (frame.picture.rows, frame.picture.columns) == (5, 11)
    assert len(frame.picture.values) == 5 * 11 * 9 * 768
    assert frame.seconds == 0


@IN_ONE_LOOP
async def test_frames_of_a_video_come_back_with_their_times(decoder: Decoder) -> None:
    pytest.importorskip("av")
    job = Job(format_name="webm", budget=70, rate_hz=1.0, frame_count=32)
    frames = await decoder.decode(job, film("webm", 3))
    assert [frame.seconds for frame in frames] == [0, 1, 2]
    assert len({frame.picture.key for frame in frames}) == 3


@IN_ONE_LOOP
async def test_the_largest_image_with_transparency_finds_room(decoder: Decoder) -> None:
    largest = png_of(10_000, 5_000, rows=bytes(10_001 * 5_000), more=png_chunk(b"tRNS", b"\0\1"))
    assert await decoder.decode(PNG, largest)


@IN_ONE_LOOP
async def test_a_process_that_was_killed_is_started_again(decoder: Decoder) -> None:
    await decoder.decode(PNG, encoded(noise()))
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGKILL)
    for _ in range(20):
        try:
            assert await decoder.decode(PNG, encoded(noise()))
        except Overloaded:
            continue
        return
    raise AssertionError("it was not started again")


@IN_ONE_LOOP
async def test_who_stops_waiting_leaves_no_place_taken(decoder: Decoder) -> None:
    data = encoded(noise())
    waiting = [asyncio.ensure_future(decoder.decode(PNG, data)) for _ in range(3 * FILES_AT_ONCE)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await decoder.decode(PNG, data)


@pytest.mark.parametrize(
    ("does", "seconds", "ends"),
    [
        # by the clock, where others take the cores
        ("while True: pass", 1, {-signal.SIGKILL, -signal.SIGALRM}),
        ("signal.pause()", 1, {-signal.SIGALRM}),
        ("bytearray(5 * 2**28)", 20, {1}),
        ("bytearray(2**29)", 20, {0}),
    ],
)
def test_the_system_bounds_time_and_memory(does: str, seconds: int, ends: set[int]) -> None:
    code = f"import signal\nfrom palimpsest.server.media.decoding import limit\nlimit({seconds})\n"
    code += does
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert run.returncode in ends
