"""Images as they are shown to the model: whatever their kind, upright, in RGB, on white."""

from __future__ import annotations

import numpy as np
import pytest
from files import SIZE, animated, encoded, noise, png_of
from PIL import Image

from palimpsest.server.media.images import rgb
from palimpsest.server.media.unreadable import Unreadable

RED, WHITE = (255, 0, 0), (255, 255, 255)
ORIENTATION = 0x0112


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_what_loses_nothing_is_read_pixel_for_pixel(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = rgb(encoded(noise(), kind, **options), kind)
    assert picture.mode == "RGB"
    assert picture.tobytes() == noise().tobytes()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "L"), ("PNG", "1"), ("PNG", "P"), ("GIF", "P"), ("JPEG", "L"), ("JPEG", "CMYK")],
)
def test_grey_palettes_and_cmyk_become_rgb(kind: str, mode: str) -> None:
    picture = Image.new("RGB", SIZE, "red").convert(mode)
    shown = rgb(encoded(picture, kind), kind)
    expected = np.asarray(picture.convert("RGB"), np.int16)
    assert np.abs(np.asarray(shown, np.int16) - expected).max() <= 2


def test_grey_of_16_bits_keeps_its_brightness() -> None:
    deep = Image.fromarray(np.full((4, 4), 0x80FF, np.uint16))
    assert deep.mode == "I;16"
    assert rgb(encoded(deep), "PNG").getpixel((0, 0)) == (0x80, 0x80, 0x80)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    if mode == "P":
        picture = Image.new("P", SIZE, 1)
        picture.putpalette([0, 0, 0, *RED])
        picture.paste(0, (0, 0, 10, 10))
        data = encoded(picture, transparency=0)
    else:
        picture = Image.new("RGBA", SIZE, (255, 0, 0, 255))
        picture.paste((0, 0, 0, 0), (0, 0, 10, 10))
        data = encoded(picture.convert(mode))
    shown = rgb(data, "PNG")
    assert shown.getpixel((3, 3)) == WHITE
    assert shown.getpixel((30, 30)) != WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_orientation_says(orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste(RED, (0, 0, 8, 8))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    shown = rgb(encoded(stored, exif=exif), "PNG")
    assert shown.tobytes() == upright.tobytes()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animated_image_is_refused(kind: str) -> None:
    with pytest.raises(Unreadable, match="is animated"):
        rgb(animated(kind), kind)


def test_a_size_over_the_bound_is_refused_by_the_header() -> None:
    with pytest.raises(Unreadable, match="has 100000 × 100000 pixels, more than 50,000,000"):
        rgb(png_of(100_000, 100_000), "PNG")


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_over_the_bound_is_refused_before_its_library_makes_room(lossless: bool) -> None:
    data = bytearray(encoded(noise(), "WEBP", lossless=lossless))
    if lossless:
        data[21:25] = (0x0FFFFFFF).to_bytes(4, "little")
    else:
        data[26:30] = (0x3FFF3FFF).to_bytes(4, "little")
    with pytest.raises(Unreadable, match=r"has 1638[34] × 1638[34] pixels"):
        rgb(bytes(data), "WEBP")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_half_a_file_is_refused(kind: str) -> None:
    data = encoded(noise(), kind)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        rgb(data[: len(data) // 2], kind)
