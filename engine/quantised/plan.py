"""What of a checkpoint's files becomes which part of the network, found from headers alone: what is
missing, of another shape or unknown is refused before the first weight is read.

Text weights stand once, under `model.decoder.`; files of other makers may repeat them under
`model.encoder.language_model.` or as `lm_head`, and those copies are passed over. Only the layer
scalars are two separate sets. Any other unknown name is refused, never ignored.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size

from palimpsest.engine.headers import Entry
from palimpsest.engine.quantised.detection import Quantisation
from palimpsest.engine.quantised.places import (
    DECODER,
    Place,
    linear_places,
    published_name,
    spellings,
)
from palimpsest.engine.quantised.scheme import SIXTEEN_OR_MORE, Misplaced, Part, Scheme

PLAIN = "weight"
"""Last part of the name of a linear layer that is not quantised."""
_PASSED_OVER = re.compile(
    r"lm_head\.weight|model\.encoder\.embed_vision\.embedding\..*"
    # scales of an eight-bit cache, which this engine does not have
    r"|model\..*\.self_attn\.(k_|v_)?(proj\.)?(k|v)_scale"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What is read at once: a tensor of the network, or one linear layer of it."""

    place: Place
    parts: Mapping[str, str]
    """Published names of the tensors, by the last part of the name."""
    scheme: Scheme | None
    """What they mean together; None is one tensor as it is."""


def plan(
    files: Mapping[str, Entry],
    shapes: Mapping[str, Size],
    *,
    quantised: Quantisation | None,
) -> list[Piece]:
    """All pieces of a network with tensors of these `shapes`, of the tensors in `files`.

    Raises Misplaced.
    """
    planner = _Planner(files, shapes, quantised)
    pieces = [piece for own in shapes for piece in planner.pieces(own)]
    planner.refuse_strangers()
    planner.refuse_missing()
    return pieces


class _Planner:
    """Finds pieces, and remembers what was found and what was not."""

    def __init__(
        self,
        files: Mapping[str, Entry],
        shapes: Mapping[str, Size],
        quantised: Quantisation | None,
    ) -> None:
        self.files, self.shapes, self.quantised = files, shapes, quantised
        self.places = linear_places(shapes, joined=quantised is not None and quantised.joined)
        self.linears: dict[str, list[str]] = defaultdict(list)
        for linear, place in self.places.items():
            self.linears[place.own].append(linear)
        self.explained: set[str] = set()
        self.missing: list[str] = []

    def pieces(self, own: str) -> list[Piece]:
        """Of one tensor of the network: itself, or the linear layers that it is made of."""
        plain = self._plain(own, Place(own=own, shape=tuple(self.shapes[own])))
        if plain is not None:
            return [plain]
        found = [self._linear(linear) for linear in self.linears[own] if self._has_any(linear)]
        if not found:
            self.missing.append(published_name(own))
        else:
            lost = [linear for linear in self.linears[own] if not self._has_any(linear)]
            self.missing += [f"{DECODER}{linear}" for linear in lost]
        return [piece for piece in found if piece is not None]

    def refuse_strangers(self) -> None:
        """Raises Misplaced for the first name that nothing was made of."""
        for name, entry in self.files.items():
            if name not in self.explained and _PASSED_OVER.fullmatch(name) is None:
                raise Misplaced(
                    f"the tensor {name} ({entry.dtype}) is not part of a DiffusionGemma checkpoint"
                )

    def refuse_missing(self) -> None:
        """Raises Misplaced if there is not all of the network."""
        if self.missing:
            count, first = len(self.missing), self.missing[0]
            raise Misplaced(f"{count} tensors are missing, the first is {first}")

    def _plain(self, own: str, place: Place) -> Piece | None:
        """A tensor that is not quantised."""
        published = self._published(own)
        if published is None or self.files[published].dtype not in SIXTEEN_OR_MORE:
            return None
        self._check(published, Part(dtypes=SIXTEEN_OR_MORE, shape=place.shape))
        return Piece(place=place, parts={PLAIN: published}, scheme=None)

    def _linear(self, linear: str) -> Piece | None:
        """A linear layer of which the files have anything; None if they lack some of it."""
        place = self.places[linear]
        plain = self._plain(f"{linear}.{PLAIN}", place)
        if plain is not None or self.quantised is None:
            return plain or self._unexplained(linear)
        scheme = self.quantised.of(linear)
        parts = scheme.parts(*place.shape)
        found = {last: self._published(f"{linear}.{last}") for last in parts}
        for last in scheme.unused:
            self._published(f"{linear}.{last}")
        lost = [f"{DECODER}{linear}.{last}" for last, name in found.items() if name is None]
        self.missing += lost
        there = {last: name for last, name in found.items() if name is not None}
        for last, name in there.items():
            self._check(name, parts[last])
        if there and self.quantised.ignored.has(linear):
            name = next(iter(there.values()))
            raise Misplaced(f"the tensor {name} is quantised, but the list ignore has its layer")
        return None if lost else Piece(place=place, parts=there, scheme=scheme)

    def _unexplained(self, linear: str) -> None:
        name = self._published(f"{linear}.{PLAIN}")
        if name is None:
            self.missing.append(f"{DECODER}{linear}.{PLAIN}")
            return
        raise Misplaced(
            f"the tensor {name} ({self.files[name].dtype}) is quantised, and config.json has no "
            "quantization_config that says how"
        )

    def _published(self, own: str) -> str | None:
        """The name under which the files have it; all names that it may have are explained."""
        names = [name for name in spellings(own) if name in self.files]
        self.explained.update(names)
        return names[0] if names else None

    def _has_any(self, linear: str) -> bool:
        lasts = {PLAIN}
        if self.quantised is not None:
            lasts |= self.quantised.of(linear).parts(*self.places[linear].shape).keys()
        return any(name in self.files for last in lasts for name in spellings(f"{linear}.{last}"))

    def _check(self, name: str, part: Part) -> None:
        wrong = part.mismatch(self.files[name])
        if wrong is not None:
            raise Misplaced(f"the tensor {name} {wrong}")
