"""Linear layers that a quantised checkpoint leaves as they are: its list of names and patterns.

compressed-tensors writes regular expressions after `re:`, matched from the beginning of a name, or
names; ModelOpt writes names and shell patterns. One stack of weights has two names in this model,
of the decoder and of the encoder, and the list may use either, or that of a module above.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

from palimpsest.engine.quantised.places import DECODER, ENCODER

_PATTERN = "re:"
_SPELLINGS = (DECODER, ENCODER, "model.language_model.", "")
"""What may stand before a layer's name."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The list, ready to be asked. Raises ValueError naming a pattern that cannot be read."""

    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Ignored:
        return cls(tuple(_compiled(entry) for entry in entries))

    def has(self, linear: str) -> bool:
        """Whether a linear layer, named below the prefix, is left as it is."""
        names = [prefix + linear for prefix in _SPELLINGS]
        return any(pattern.match(name) for pattern in self.patterns for name in names)


def _compiled(entry: str) -> re.Pattern[str]:
    if not entry.startswith(_PATTERN):
        # the module itself, or one above the layer
        return re.compile(f"(?:{fnmatch.translate(entry)}|{re.escape(entry)}\\.)")
    try:
        return re.compile(entry.removeprefix(_PATTERN))
    except re.error as wrong:
        raise ValueError(f"ignore: {entry!r} is not a regular expression: {wrong}") from None
