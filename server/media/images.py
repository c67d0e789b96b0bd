"""From an encoded image to its pixels in RGB, or to what is wrong with it.

Runs where it may fail in any way (`decoding.py`). Knows no request.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from palimpsest.server.media.limits import MAX_PIXELS
from palimpsest.server.media.unreadable import Unreadable

# Sizes are checked here, by a bound of our own, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK"}
_DEEP = {"I;16", "I;16B", "I;16L"}
"""Grey in 16 bits."""
_WHITE = (255, 255, 255)


def rgb(data: bytes, format_name: str) -> Image.Image:
    """The only frame of a file, upright, on white. `format_name` is Pillow's.

    Raises Unreadable, and whatever Pillow raises for damaged files.
    """
    if format_name == "WEBP":
        # its library makes room for all pixels before Pillow says how many there are
        _check_size(*_webp_size(data))
    with Image.open(io.BytesIO(data), formats=[format_name]) as opened:
        _check(opened)
        # the orientation is told by a header, which conversion leaves behind
        turn = _turn(opened)
        picture = _on_white(opened)
    return picture if turn is None else picture.transpose(turn)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable(f"has {width} × {height} pixels, more than {MAX_PIXELS:,}")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in the header of the first chunk (RFC 9649)."""
    kind, head = data[12:16], data[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        both = int.from_bytes(head[1:5], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = (int.from_bytes(head[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        return width, height
    raise Unreadable(f"is damaged: it begins with a chunk {kind!r}")


def _check(opened: Image.Image) -> None:
    _check_size(*opened.size)
    if getattr(opened, "is_animated", False):
        raise Unreadable("is animated: send one frame, or a video")
    if opened.mode not in _MODES | _DEEP:
        raise Unreadable(f"has pixels of the kind {opened.mode!r}, which are not read")


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
"""The tag of EXIF."""


def _turn(opened: Image.Image) -> Image.Transpose | None:
    """What brings the image upright."""
    orientation = opened.getexif().get(_ORIENTATION)
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _on_white(opened: Image.Image) -> Image.Image:
    if opened.mode in _DEEP:
        return Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8)).convert("RGB")
    if not opened.has_transparency_data:
        return opened.convert("RGB")
    layers = opened.convert("RGBA")
    ground = Image.new("RGB", opened.size, _WHITE)
    ground.paste(layers, mask=layers.getchannel("A"))
    return ground
