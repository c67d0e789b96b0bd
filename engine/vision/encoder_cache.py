"""Encodes pictures and remembers those that were asked for lately, so none is encoded twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from palimpsest.engine.commands import Picture
from palimpsest.engine.vision.tower import Patches, Vision

KEPT_BYTES = 2**27
"""Of embeddings: 85 pictures of 280 tokens at the size of the released network in BF16."""
PATCHES_AT_ONCE = 10_080
"""In one run of the tower: those of the largest picture."""


class EncoderCache:
    """The soft tokens of pictures on the network's device."""

    def __init__(self, vision: Vision, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._vision = vision
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._kept_bytes = kept_bytes
        self.encoded = 0
        """Pictures that were encoded since the start."""

    def embeddings(self, pictures: Iterable[Picture]) -> Mapping[bytes, Tensor]:
        """Soft tokens [rows · columns, H] of each picture, by its key."""
        wanted = {picture.key: picture for picture in pictures}
        found = {key: self._kept[key] for key in wanted if key in self._kept}
        fresh = [picture for key, picture in wanted.items() if key not in found]
        for batch in _batches([self._vision.patches(picture) for picture in fresh]):
            rows = self._vision(batch).split([cut.rows * cut.columns for cut in batch])
            keys = [picture.key for picture in fresh[: len(batch)]]
            del fresh[: len(batch)]
            # copies, or one row would keep all of the batch alive
            found |= {key: row.clone() for key, row in zip(keys, rows, strict=True)}
            self.encoded += len(batch)
        for key, rows in found.items():
            self._keep(key, rows)
        return found

    def _keep(self, key: bytes, rows: Tensor) -> None:
        self._kept[key] = rows
        self._kept.move_to_end(key)
        while sum(kept.nbytes for kept in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)


def _batches(pictures: list[Patches]) -> Iterator[list[Patches]]:
    """In order, as many at a time as fit; at least one."""
    batch: list[Patches] = []
    for picture in pictures:
        patches = sum(len(other.values) for other in batch) + len(picture.values)
        if batch and patches > PATCHES_AT_ONCE:
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch
