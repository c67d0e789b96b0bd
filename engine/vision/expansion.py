"""Pictures in place of the tokens that announce them: `<|image|>` and `<|video|>`.

An image becomes a mark, a token for each of its soft tokens, and a mark; a video the same for each
frame, after its time as mm:ss (transformers, Gemma4Processor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from palimpsest.engine.commands import Picture
from palimpsest.engine.vision.patches import CutPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTokens:
    """Ids of the special tokens around and for pictures."""

    begin: int
    image: int
    end: int
    video: int | None
    """None where the tokenizer has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFrame:
    """A picture of a video."""

    seconds: float
    """Since the first frame; 0 for an image by itself."""
    picture: CutPicture


Medium: TypeAlias = CutPicture | Sequence[VideoFrame]
"""An image, or the frames of a video."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """A prompt with room for its pictures."""

    token_ids: list[int]
    pictures: tuple[Picture, ...]


def expand(
    token_ids: Sequence[int],
    media: Sequence[Medium],
    tokens: PictureTokens,
    encode: Callable[[str], Sequence[int]],
) -> Expanded:
    """`media` in place of their announcements, in order; `encode` gives the ids of plain text.

    The caller sees to it that there are as many of each kind as are announced.
    """
    left: Iterator[Medium] = iter(media)
    ids: list[int] = []
    pictures: list[Picture] = []
    for token in token_ids:
        if token == tokens.image:
            _show(ids, pictures, _image(next(left)), tokens, token)
        elif token == tokens.video:
            for number, frame in enumerate(_frames(next(left))):
                ids += encode(f"{' ' if number else ''}{_stamp(frame.seconds)} ")
                _show(ids, pictures, frame.picture, tokens, token)
        else:
            ids.append(token)
    return Expanded(ids, tuple(pictures))


def _show(
    ids: list[int], pictures: list[Picture], cut: CutPicture, tokens: PictureTokens, token: int
) -> None:
    """Adds a picture between its marks."""
    ids.append(tokens.begin)
    pictures.append(
        Picture(start=len(ids), rows=cut.rows, columns=cut.columns, patches=cut.values, key=cut.key)
    )
    ids += [*[token] * cut.token_count, tokens.end]


def _image(medium: Medium) -> CutPicture:
    assert isinstance(medium, CutPicture), "an image is announced"
    return medium


def _frames(medium: Medium) -> Sequence[VideoFrame]:
    assert not isinstance(medium, CutPicture), "a video is announced"
    return medium


def _stamp(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
