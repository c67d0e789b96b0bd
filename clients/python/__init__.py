"""The Palimpsest client: `Client` and `AsyncClient`, and the `Image`s and `Video`s they send.

They are imported on first use, so that the engine, which lives below this package, loads neither
gRPC nor protobuf.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palimpsest.aio import AsyncClient
    from palimpsest.client import Client
    from palimpsest.media import Image, Video

    __version__: str

__all__ = ["AsyncClient", "Client", "Image", "Video", "__version__"]


def __getattr__(name: str) -> object:
    match name:
        case "Client":
            return importlib.import_module("palimpsest.client").Client
        case "AsyncClient":
            return importlib.import_module("palimpsest.aio").AsyncClient
        case "Image" | "Video":
            return getattr(importlib.import_module("palimpsest.media"), name)
        case "__version__":
            return importlib.import_module("importlib.metadata").version("palimpsest")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
