"""Damaged and hostile files, hundreds of them, at a real server: each is decoded or refused by its
field, the server takes no memory for it, and an answer that runs meanwhile is the same as ever.
"""

from __future__ import annotations

import importlib.util
import random
import re
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from files import animated, encoded, film, noise, png_chunk, png_of
from server_process import ServerProcess

from palimpsest.v1 import chat_pb2, generation_pb2, model_pb2, prompt_pb2, sampling_pb2

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
HAS_VIDEO = importlib.util.find_spec("av") is not None
SERVER_BYTES = 64 * 2**20
"""That the server's own process may grow by; files are decoded elsewhere."""
Part = chat_pb2.ContentPart


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What is sent, and what it is said to be."""

    name: str
    data: bytes
    is_video: bool = False
    mime_type: str = ""
    is_refused: bool = False
    """Whether it must be; others may be decoded too."""


def damaged(
    name: str, data: bytes, generator: random.Random, *, is_video: bool = False
) -> Iterator[File]:
    """Cut off anywhere, and with bytes that are others."""
    for _ in range(25):
        end = generator.randrange(len(data))
        yield File(name=f"{name} cut at {end}", data=data[:end], is_video=is_video)
    for count in (1, 2, 4, 8, 64):
        for _ in range(6):
            flipped = bytearray(data)
            for _ in range(count):
                flipped[generator.randrange(len(data))] = generator.randrange(256)
            yield File(
                name=f"{name} with {count} other bytes", data=bytes(flipped), is_video=is_video
            )


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that ask for much."""
    yield "PNG of 10 gigapixels", png_of(100_000, 100_000)
    yield "PNG of 2^31 rows", png_of(1, 2**31 - 1)
    yield "PNG without pixels", png_of(0, 0)
    yield "PNG without rows", png_of(64, 64)
    yield "PNG of a frame too many", animated("PNG")
    yield "WebP of two frames", animated("WEBP")
    yield "GIF of two frames", animated("GIF")
    gif = encoded(noise(), "GIF")
    # behind the header and its palette of 256 colours
    yield "GIF without end", gif[:-1] + gif[13 + 3 * 256 : -1] * 200
    large = bytearray(encoded(noise(), "GIF"))
    large[6:10] = b"\xff\xff\xff\xff"
    yield "GIF of 4 gigapixels", bytes(large)
    jpeg = encoded(noise(), "JPEG")
    place = jpeg.index(b"\xff\xc0") + 5
    yield "JPEG of 4 gigapixels", jpeg[:place] + b"\xff\xff\xff\xff" + jpeg[place + 4 :]
    bmp = bytearray(encoded(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    yield "BMP of 2^62 pixels", bytes(bmp)
    bmp[18:26] = struct.pack("<ii", -5, -5)
    yield "BMP of less than nothing", bytes(bmp)
    webp = bytearray(encoded(noise(), "WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield "WebP of 268 megapixels", bytes(webp)


def strangers() -> Iterator[tuple[str, bytes]]:
    """What is no image, or none that is read."""
    yield "one byte", b"\x89"
    yield "zip", b"PK\x03\x04" + bytes(200)
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "html", b"<!doctype html><script>alert(1)</script>"
    yield "pdf", b"%PDF-1.7\n" + bytes(100)
    yield "gzip", b"\x1f\x8b\x08" + bytes(100)
    yield "shell script", b"#!/bin/sh\nrm -rf /\n"
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n"
    yield "PNG's signature alone", b"\x89PNG\r\n\x1a\n"
    yield "JPEG's signature alone", b"\xff\xd8\xff"
    yield "GIF's signature alone", b"GIF89a"
    yield "WebP's signature alone", b"RIFF\x04\x00\x00\x00WEBP"
    yield "BMP's signature alone", b"BM"
    for kind in ("TIFF", "ICO", "TGA", "PPM", "JPEG2000"):
        yield kind, encoded(noise(), kind)
    yield "MP4 as an image", b"\x00\x00\x00\x18ftypisom" + bytes(100)


def heavy_headers() -> Iterator[tuple[str, bytes]]:
    """Images with much behind little in their headers."""
    import zlib

    zeros = zlib.compress(bytes(50 * 2**20), 9)
    rows = bytes(65 * 64)
    for kind, data in (
        (b"zTXt", b"a\0\0" + zeros),
        (b"iTXt", b"a\0\1\0\0\0" + zeros),
        (b"iCCP", b"a\0\0" + zeros),
        (b"eXIf", b"MM\0*" + b"\xff" * 1_000),
    ):
        yield f"PNG with {kind.decode()}", png_of(64, 64, rows=rows, more=png_chunk(kind, data))
    yield "PNG of one row", png_of(200_000, 1, rows=bytes(200_001))
    yield "PNG with more rows than it has", png_of(64, 64, rows=bytes(50 * 2**20))
    jpeg = encoded(noise(), "JPEG")
    yield (
        "JPEG with a damaged Exif",
        jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0" + b"\xff" * 8 + jpeg[2:],
    )


def videos() -> Iterator[File]:
    strange = {
        "image": encoded(noise()),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/\n",
        "list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "ftyp alone": b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42",
        "EBML alone": b"\x1a\x45\xdf\xa3",
        "ftyp and noise": b"\x00\x00\x00\x18ftypisom" + random.Random(5).randbytes(5_000),
        "EBML and noise": b"\x1a\x45\xdf\xa3" + random.Random(6).randbytes(5_000),
    }
    for name, data in strange.items():
        yield File(name=f"{name} as a video", data=data, is_video=True, is_refused=True)
    if HAS_VIDEO:
        for container in ("mp4", "webm"):
            found = damaged(container, film(container, 2), random.Random(7), is_video=True)
            yield from list(found)[::2]


def corpus() -> Iterator[File]:
    generator = random.Random(0)
    for kind in KINDS:
        yield from damaged(kind, encoded(noise(), kind), generator)
    for name, data in (*bombs(), *strangers()):
        yield File(name=name, data=data, is_refused=True)
    for name, data in heavy_headers():
        yield File(name=name, data=data)
    for kind in ("image/jpeg", "text/html", "application/octet-stream", "video/mp4", "x"):
        data = encoded(noise())
        yield File(name=f"PNG as {kind}", data=data, mime_type=kind, is_refused=True)
    yield from videos()


def counted(server: ServerProcess, file: File) -> str | None:
    """What is said against it; None if it was decoded."""
    fields = {"data": file.data, "mime_type": file.mime_type, "max_soft_tokens": 70}
    part = (
        Part(video=chat_pb2.Video(**fields))
        if file.is_video
        else Part(image=chat_pb2.Image(**fields))
    )
    message = chat_pb2.ChatMessage(role=chat_pb2.CHAT_ROLE_USER, parts=[part])
    prompt = prompt_pb2.Prompt(chat=chat_pb2.ChatPrompt(messages=[message]))
    try:
        server.stub.CountTokens(model_pb2.CountTokensRequest(prompt=prompt))
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (file.name, error.details())
        return str(error.details())
    return None


def answered(server: ServerProcess) -> list[int]:
    message = chat_pb2.ChatMessage(
        role=chat_pb2.CHAT_ROLE_USER, parts=[Part(text="count from 1 to 40")]
    )
    asked = generation_pb2.GenerationInput(
        prompt=prompt_pb2.Prompt(chat=chat_pb2.ChatPrompt(messages=[message])),
        sampling=sampling_pb2.SamplingParameters(seed=7),
    )
    stream = server.stub.StreamGenerate(generation_pb2.StreamGenerateRequest(input=asked))
    return [token for event in stream for token in event.commit.token_ids]


def peak_bytes(pid: int) -> int:
    """Memory that a process has had at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.timeout(300)
def test_hundreds_of_hostile_files_harm_nobody(seeing: ServerProcess) -> None:
    files = list(corpus())
    assert len(files) >= 300
    expected = answered(seeing)
    before = peak_bytes(seeing.process.pid)
    with ThreadPoolExecutor(5) as threads:
        complaints = threads.map(lambda file: counted(seeing, file), files)
        answers = [answered(seeing) for _ in range(5)]
        found = dict(zip((file.name for file in files), complaints, strict=True))
    assert answers == [expected] * 5
    assert peak_bytes(seeing.process.pid) - before < SERVER_BYTES
    assert [file.name for file in files if file.is_refused and found[file.name] is None] == []
    for file in files:
        complaint = found[file.name]
        if complaint is not None:
            kind = "video" if file.is_video else "image"
            pattern = rf"prompt\.chat\.messages\[0\]\.parts\[0\]\.{kind}(\.\w+)?: .+"
            assert re.fullmatch(pattern, complaint), (file.name, complaint)
