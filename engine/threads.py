"""How many CPU threads a pass gets: waiting for each other, threads cost small operations more than
they bring.
"""

from __future__ import annotations

from dataclasses import dataclass

_SMALL_NETWORK = 100_000_000
"""Parameters below which a thread needs many rows to be worth waking."""
_ROWS_OF_A_THREAD = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """At most `most`, one for every `rows_each` rows of the pass, and at least one."""

    most: int
    rows_each: int = 1

    def of(self, rows: int) -> int:
        """Threads of a pass over so many rows."""
        return max(1, min(self.most, rows // self.rows_each))


def threads_for(parameter_count: int, *, cores: int) -> Threads:
    """What suits a network on a machine."""
    small = parameter_count < _SMALL_NETWORK
    return Threads(most=cores, rows_each=_ROWS_OF_A_THREAD if small else 1)
