"""Which tokens of a template's canvases are text: what is pinned, and each gap up to its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palimpsest.engine.commands import CanvasPlan


class Filling:
    """Reads the canvases of one answer, in order."""

    def __init__(self, plan: CanvasPlan, *, fillers: Iterable[int]) -> None:
        """`fillers` are the tokens that fill up a gap whose text is shorter. Raises ValueError
        without a template.
        """
        if plan.template_length is None:
            raise ValueError("the plan has no template")
        self._pinned = {position for position, _ in plan.pinned}
        self._fillers = frozenset(fillers)
        self._length = plan.template_length
        self._position = 0
        self._gap_is_over = False

    @property
    def is_whole(self) -> bool:
        """Whether the template's last position was read."""
        return self._position >= self._length

    def read(self, canvas: Sequence[int]) -> list[int]:
        """Positions in the canvas whose tokens are text."""
        kept = []
        for place, token in enumerate(canvas[: self._length - self._position]):
            if self._position + place in self._pinned:
                self._gap_is_over = False
                kept.append(place)
            elif token in self._fillers:
                self._gap_is_over = True
            elif not self._gap_is_over:
                kept.append(place)
        self._position += len(canvas)
        return kept
