"""Questions about pictures of plain shapes, and about short videos of one that moves."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from palimpsest.engine.training.drawing import COLOURS, KINDS, Shape, drawn, ground
from palimpsest.engine.training.items import Item, Still, user
from palimpsest.engine.training.wording import say

PLACES = {
    "top left": (0.22, 0.22),
    "top right": (0.78, 0.22),
    "bottom left": (0.22, 0.78),
    "bottom right": (0.78, 0.78),
    "middle": (0.5, 0.5),
}
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FRAMES = (3, 4)
"""Of a video, one a second."""
FILLED_SHARE = 0.6
"""Of the ninths of a picture that is mapped."""
COLOUR_LETTERS = {name: name[0] for name in COLOURS} | {"black": "k"}
KIND_LETTERS = {name: name[0] for name in KINDS}
NOTHING = "."
_CELLS = [(x, y) for y in (0.18, 0.5, 0.82) for x in (0.18, 0.5, 0.82)]


def see_colour(random: Random) -> Item:
    """The colour of one of one or two shapes."""
    shapes = _pair(random)[: random.randint(1, 2)]
    asked = random.choice(shapes)
    question = say(random, "what colour is the {}?", "the colour of the {}?").format(asked.kind)
    return _about(random, shapes, question, asked.colour)


def see_shape(random: Random) -> Item:
    """Which of two shapes has a colour."""
    shapes = _pair(random)
    asked = random.choice(shapes)
    question = say(random, "which shape is {}?", "what is {}?").format(asked.colour)
    return _about(random, shapes, question, asked.kind)


def see_count(random: Random) -> Item:
    """How many shapes of one kind and colour there are."""
    count, kind, colour = random.randint(1, 6), random.choice([*KINDS]), random.choice([*COLOURS])
    shapes = [
        Shape(kind=kind, colour=colour, centre=_off(random, cell, 0.03), radius=0.13)
        for cell in random.sample(_CELLS, count)
    ]
    question = say(random, "how many {}s are there?", "count the {}s").format(kind)
    return _about(random, shapes, question, str(count))


def see_place(random: Random) -> Item:
    """Where the only shape is."""
    name = random.choice([*PLACES])
    shape = _one(random, _off(random, PLACES[name], 0.06))
    question = say(random, "where is the {}?", "where do you see the {}?").format(shape.kind)
    return _about(random, [shape], question, name)


def see_map(random: Random) -> Item:
    """A letter for each ninth of a picture: the colour or the kind of the shape there, or a dot.

    Each answer tells of nine places, which teaches seeing sooner than a word about one of them.
    """
    shapes = [
        _one(random, _off(random, cell, 0.03), radius=random.uniform(0.1, 0.14))
        if random.random() < FILLED_SHARE
        else None
        for cell in _CELLS
    ]
    place, asked = random.choice([*enumerate(("colours", "shapes"))])
    letters = "".join(signs(shape)[place] for shape in shapes)
    question = say(random, "map the {}", "draw the {} as letters").format(asked)
    rows = "\n".join(letters[first : first + 3] for first in range(0, 9, 3))
    return _about(random, [shape for shape in shapes if shape], question, rows)


def signs(shape: Shape | None) -> tuple[str, str]:
    """The letters that maps have for a shape's colour and kind."""
    return (COLOUR_LETTERS[shape.colour], KIND_LETTERS[shape.kind]) if shape else (NOTHING, NOTHING)


def see_motion(random: Random) -> Item:
    """Which way a shape has moved in a video."""
    name, frames = random.choice([*WAYS]), random.choice(FRAMES)
    (across, down), length = WAYS[name], random.uniform(0.35, 0.6)
    shape = _one(random, (0.5, 0.5))
    x, y = _off(random, (0.5 - across * length / 2, 0.5 - down * length / 2), 0.08)
    size = random.choice(((96, 96), (96, 96), (128, 96)))
    picture, stills = ground(random, size), []
    for number in range(frames):
        part = length * number / (frames - 1)
        moved = Shape(
            kind=shape.kind,
            colour=shape.colour,
            centre=(x + across * part, y + down * part),
            radius=shape.radius,
        )
        still = Still(drawn(picture, [moved], random), (moved,), seconds=float(number))
        stills.append(still)
    question = say(random, "which way did the {} move?", "where did the {} go?")
    text = question.format(shape.kind)
    message = user([{"type": "video"}, {"type": "text", "text": text}])
    about = f"motion {text} {name} {frames} {shape} {x:.3f} {y:.3f}"
    return Item(messages=(message,), canonical=about, answer=name, media=(tuple(stills),))


def _about(random: Random, shapes: Sequence[Shape], question: str, answer: str) -> Item:
    """A question about one picture of these shapes."""
    picture = drawn(ground(random), shapes, random)
    message = user([{"type": "image"}, {"type": "text", "text": question}])
    about = f"{question} {answer} {picture.size} {shapes}"
    still = Still(picture, tuple(shapes))
    return Item(messages=(message,), canonical=about, answer=answer, media=(still,))


def _pair(random: Random) -> list[Shape]:
    """Two shapes that differ in kind and in colour, side by side or one above the other."""
    kinds, colours = random.sample([*KINDS], 2), random.sample([*COLOURS], 2)
    low, high = random.uniform(0.22, 0.3), random.uniform(0.7, 0.78)
    across = [(low, random.uniform(0.3, 0.7)), (high, random.uniform(0.3, 0.7))]
    centres = across if random.random() < 0.5 else [(y, x) for x, y in across]
    random.shuffle(centres)
    return [
        Shape(kind=kind, colour=colour, centre=centre, radius=random.uniform(0.15, 0.21))
        for kind, colour, centre in zip(kinds, colours, centres, strict=True)
    ]


def _one(random: Random, centre: tuple[float, float], radius: float | None = None) -> Shape:
    kind, colour = random.choice([*KINDS]), random.choice([*COLOURS])
    radius = random.uniform(0.12, 0.18) if radius is None else radius
    return Shape(kind=kind, colour=colour, centre=centre, radius=radius)


def _off(random: Random, place: tuple[float, float], most: float) -> tuple[float, float]:
    """A place nearby."""
    x, y = (part + random.uniform(-most, most) for part in place)
    return x, y
