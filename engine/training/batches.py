"""Training batches: rows of several examples laid end to end.

An example is a prompt, perhaps with pictures, with the canvases of its answer. One pass of the
network is the prefill, all commits and a denoising step of every canvas at once: the prompt and the
clean canvases before the last are causal rows; the canvases come behind them, each COPIES times
with its own noise, and see what lies before their own start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from random import Random

import torch
from torch import Tensor

from palimpsest.engine.commands import Picture
from palimpsest.engine.training import tokenizer
from palimpsest.engine.training.drawing import seen
from palimpsest.engine.training.export import IMAGE_BUDGET, processing
from palimpsest.engine.training.items import Item, Still, assistant, draw
from palimpsest.engine.training.rendering import Renderer, completion
from palimpsest.engine.training.skills import SKILLS
from palimpsest.engine.training.skills.seeing import signs
from palimpsest.engine.vision.expansion import Expanded, Medium, VideoFrame, expand
from palimpsest.engine.vision.patches import PictureCutter

HISTORY_SHARE = 0.1
SYSTEM_SHARE = 0.05
SYSTEMS = ("You are Palimpsest.", "Be brief.", "You are a helpful assistant.", "Answer exactly.")
LATE_PICTURE_SHARE = 0.3
"""Of the questions about pictures: those that come before them. Most ask about what was shown."""
IDLE_THINKING_SHARE = 0.05
"""Of the examples: thinking is on though there is nothing to think about; the thought is empty."""
ROW_MULTIPLE = 128
COPIES = 2
"""Of each canvas, with noise of their own: they share the rows of their prefix."""
NARROWEST = 128
"""Prefixes that are shorter than this are not told apart."""
END_ID = 1
"""`<eos>`, which fills the last canvas after the end of the turn."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of the canvases of its answer, the last one filled up; `length` of
    their tokens are not filling.
    """

    prompt: list[int]
    canvases: list[list[int]]
    length: int
    filling_weight: float
    """Of a token of the filling in the loss, where one of the answer counts 1: where to stop is
    half of a long answer."""
    pictures: tuple[Picture, ...] = ()
    sights: tuple[tuple[int, int], ...] = ()
    """For each part of the pictures, two tokens for what is there."""

    @property
    def prefix(self) -> list[int]:
        """What the last canvas follows."""
        return [*self.prompt, *chain.from_iterable(self.canvases[:-1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B examples with K canvases over T rows: causal rows, filling that is never read, canvas
    rows.
    """

    token_ids: Tensor
    """[T] clean tokens."""
    positions: Tensor
    """[T]"""
    on_canvas: Tensor
    """[T]"""
    prefixes: list[int]
    """Causal rows of each example."""
    pictures: list[tuple[Picture, ...]]
    """Of each example."""
    sights: Tensor
    """[S, 2] for each soft token of the pictures, two tokens for what is there."""
    example: Tensor
    """[K] which example a canvas belongs to."""
    start: Tensor
    """[K] position of a canvas's first token."""
    answer: Tensor
    """[K, C] True for positions up to and including the end token."""
    weights: Tensor
    """[K, C] what each position counts in the loss."""


class ExampleSource:
    """Draws examples: items of skills, in the surroundings that people put them in."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer.build()
        self.renderer = Renderer()
        self._cutter = PictureCutter(processing())

    def draw(
        self, skill: str, random: Random, *, canvas_length: int, filling_weight: float
    ) -> Example:
        """An item of a skill that is not held out."""
        item = _surround(draw(SKILLS[skill], random, held_out=False), random)
        prompt = self.prompt(item)
        answer = self.encode(completion(item))
        filled = answer + [END_ID] * (-len(answer) % canvas_length)
        starts = range(0, len(filled), canvas_length)
        canvases = [filled[start : start + canvas_length] for start in starts]
        return Example(
            prompt.token_ids,
            canvases,
            len(answer),
            filling_weight,
            prompt.pictures,
            tuple(self._sights(item, prompt.pictures)),
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of text, special tokens recognised."""
        return self.tokenizer.encode(text).ids

    def prompt(self, item: Item) -> Expanded:
        """Token ids and pictures of a conversation."""
        ids = self.encode(self.renderer.prompt(item))
        media = [self._cut(medium) for medium in item.media]
        return expand(ids, media, tokenizer.PICTURES, self.encode)

    def _sights(self, item: Item, pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
        for still, picture in zip(_stills(item), pictures, strict=True):
            for shape in seen(still.picture, still.shapes, picture.rows, picture.columns):
                colour, kind = self.encode("".join(signs(shape)))
                yield colour, kind

    def _cut(self, medium: Still | tuple[Still, ...]) -> Medium:
        if isinstance(medium, Still):
            return self._cutter.cut(medium.picture, IMAGE_BUDGET)
        cut = self._cutter.cut
        return [VideoFrame(seconds=s.seconds, picture=cut(s.picture, IMAGE_BUDGET)) for s in medium]


def _stills(item: Item) -> Iterator[Still]:
    """All pictures in their order."""
    for medium in item.media:
        yield from (medium,) if isinstance(medium, Still) else medium


def _surround(item: Item, random: Random) -> Item:
    """Sometimes there is a system message, an earlier turn, a question before its picture, or a
    switch that changes nothing.
    """
    messages = item.messages
    if item.media and random.random() < LATE_PICTURE_SHARE:
        question = messages[-1]
        parts = sorted(question["content"], key=lambda part: part["type"] != "text")
        messages = (*messages[:-1], {**question, "content": parts})
    if random.random() < HISTORY_SHARE:
        earlier = draw(SKILLS["reverse"], random, held_out=False)
        messages = (*earlier.messages, assistant(earlier.answer), *messages)
    if random.random() < SYSTEM_SHARE:
        messages = ({"role": "system", "content": random.choice(SYSTEMS)}, *messages)
    thinking = item.thinking or (not item.tools and random.random() < IDLE_THINKING_SHARE)
    return replace(item, messages=messages, thinking=thinking)


def rows_of(example: Example) -> int:
    """How many it takes in a batch."""
    return len(example.prefix) + COPIES * sum(map(len, example.canvases))


def alike(examples: list[Example]) -> list[list[Example]]:
    """The examples in groups of one canvas length whose prefixes fit the same power of two, so that
    little of what attention goes over is filling.
    """
    groups: dict[tuple[int, int], list[Example]] = {}
    for example in examples:
        width = max(len(example.prefix) - 1, NARROWEST - 1).bit_length()
        groups.setdefault((len(example.canvases[0]), width), []).append(example)
    return list(groups.values())


def collate(examples: list[Example], device: torch.device) -> Batch:
    """Lays examples end to end and fills up to a multiple of ROW_MULTIPLE.

    Few different row counts let the matrix library keep its compiled kernels.
    """
    prefixes = [example.prefix for example in examples]
    canvases = [
        (index, len(example.prompt) + place * len(canvas), canvas, example)
        for index, example in enumerate(examples)
        for place, canvas in enumerate(example.canvases)
        for _ in range(COPIES)
    ]
    width = len(examples[0].canvases[0])
    causal, rows = sum(map(len, prefixes)), len(canvases) * width
    filling = -(causal + rows) % ROW_MULTIPLE
    starts = torch.tensor([start for _, start, _, _ in canvases])
    ends = torch.tensor([len(example.prompt) + example.length for *_, example in canvases])
    filling_weights = torch.tensor([example.filling_weight for *_, example in canvases])
    places = starts[:, None] + torch.arange(width)
    answer = places < ends[:, None]
    before = torch.tensor([p for prefix in prefixes for p in range(len(prefix))] + [0] * filling)
    tokens = [t for ids in (*prefixes, [0] * filling, *(c for _, _, c, _ in canvases)) for t in ids]
    sights = [sight for example in examples for sight in example.sights]
    tensors = {
        "token_ids": torch.tensor(tokens),
        "positions": torch.cat([before, places.flatten()]),
        "on_canvas": torch.arange(len(tokens)) >= causal + filling,
        "sights": torch.tensor(sights, dtype=torch.long).view(-1, 2),
        "example": torch.tensor([index for index, *_ in canvases]),
        "start": starts,
        "answer": answer,
        "weights": filling_weights[:, None].masked_fill(answer, 1.0),
    }
    on_device = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Batch(
        prefixes=[len(prefix) for prefix in prefixes],
        pictures=[example.pictures for example in examples],
        **on_device,
    )
