"""Encoded images and videos, made when they are needed."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 48)


def noise(size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    """Random pixels, the same ones each time."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(picture: Image.Image, format_name: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401
    """By Pillow, with its options."""
    file = io.BytesIO()
    picture.save(file, format_name, **options)
    return file.getvalue()


def animated(format_name: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", SIZE, color) for color in ("red", "blue")]
    return encoded(frames[0], format_name, save_all=True, append_images=frames[1:])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """With its length and checksum."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_of(width: int, height: int, *, rows: bytes = b"", more: bytes = b"") -> bytes:
    """Of grey pixels: the header says the size, and `rows` are what there is of them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows, 9)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + more + body


def film(container: str, seconds: float, *, rate: int = 24, size: tuple[int, int] = SIZE) -> bytes:
    """A grey field whose brightness is that of the frame's number, 5 a frame. Needs PyAV."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream({"mp4": "libx264", "webm": "libvpx"}[container], rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(int(seconds * rate)):
            grey = np.full((size[1], size[0], 3), number * 5 % 256, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()
