"""Pictures for the skills that see: plain shapes of one colour each on a plain ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 50),
    "black": (20, 20, 20),
    "purple": (150, 60, 190),
}
GROUNDS = ((245, 245, 245), (255, 255, 255), (225, 225, 225), (250, 240, 220))
JITTER = 14
"""Each part of a colour is off by as much, so that colours are kinds and not numbers."""
SIZES = ((96, 96), (96, 96), (96, 96), (128, 96), (96, 128), (160, 80))
"""Width and height; all are scaled to the same number of tokens."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One thing in a picture. Places and sizes are parts of the picture's shorter side or axes."""

    kind: str
    colour: str
    centre: Point
    radius: float


def ground(random: Random, size: tuple[int, int] | None = None) -> Image.Image:
    """An empty picture."""
    return Image.new("RGB", size or random.choice(SIZES), _near(random, random.choice(GROUNDS)))


def drawn(picture: Image.Image, shapes: Sequence[Shape], random: Random) -> Image.Image:
    """The picture with shapes on it, the last on top."""
    picture = picture.copy()
    for shape in shapes:
        _draw(picture, shape, _near(random, COLOURS[shape.colour]))
    return picture


def seen(
    picture: Image.Image, shapes: Sequence[Shape], rows: int, columns: int
) -> list[Shape | None]:
    """What is in the middle of each of rows · columns equal parts of a picture of these shapes."""
    numbers = Image.new("L", picture.size)
    for number, shape in enumerate(shapes, start=1):
        _draw(numbers, shape, number)
    middles = numbers.resize((columns, rows), Image.Resampling.NEAREST)
    return [shapes[number - 1] if number else None for number in middles.tobytes()]


def _draw(picture: Image.Image, shape: Shape, fill: object) -> None:
    width, height = picture.size
    centre = (shape.centre[0] * width, shape.centre[1] * height)
    KINDS[shape.kind](ImageDraw.Draw(picture), centre, shape.radius * min(width, height), fill)


def _near(random: Random, colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, part + random.randint(-JITTER, JITTER))) for part in colour)
    return red, green, blue


def _circle(pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: object) -> None:
    (x, y), r = centre, radius
    pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)  # type: ignore[arg-type]


def _square(pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: object) -> None:
    (x, y), r = centre, 0.9 * radius
    pen.rectangle((x - r, y - r, x + r, y + r), fill=colour)  # type: ignore[arg-type]


def _triangle(pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: object) -> None:
    (x, y), r = centre, 1.1 * radius
    pen.polygon(((x, y - r), (x - r, y + 0.8 * r), (x + r, y + 0.8 * r)), fill=colour)  # type: ignore[arg-type]


KINDS: dict[str, Callable[[ImageDraw.ImageDraw, Point, float, object], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
}
