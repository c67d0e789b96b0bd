"""`palimpsest serve`, but requests whose metadata have `untraced` are those of a server without
tracing, so that both can be compared in one process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from palimpsest.server.main import main
from palimpsest.server.reception import Reception
from palimpsest.server.tracing import RequestTrace

UNTRACED = "untraced"
PROGRAM = (__file__,)
_trace = Reception._trace


def _chosen(self: Reception, headers: Mapping[str, str], carrier: str) -> RequestTrace | None:
    return None if UNTRACED in headers else _trace(self, headers, carrier)


if __name__ == "__main__":
    Reception._trace = _chosen
    sys.exit(main())
