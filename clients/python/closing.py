"""The one context manager of what the client holds open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Open until `close()`, or until the end of its `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Ends it; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
