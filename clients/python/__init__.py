"""The Palimpsest client: `Client` and `AsyncClient`.

They are imported on first use, so that the engine, which lives below this package, loads neither
gRPC nor protobuf.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palimpsest.aio import AsyncClient
    from palimpsest.client import Client

    __version__: str

__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> object:
    match name:
        case "Client":
            return importlib.import_module("palimpsest.client").Client
        case "AsyncClient":
            return importlib.import_module("palimpsest.aio").AsyncClient
        case "__version__":
            return importlib.import_module("importlib.metadata").version("palimpsest")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
