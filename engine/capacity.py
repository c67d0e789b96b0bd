"""How much runs at once: canvases, prompt tokens of a pass, and pages of each kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from palimpsest.engine.pages import PAGE_TOKENS, Window

DEFAULT_MAX_NUM_SEQS = 64
DEFAULT_PREFILL_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What an engine may hold."""

    pages: Mapping[Window, int]
    """Of each group of layers."""
    cache_bytes: int
    """Memory of all pages."""
    max_num_seqs: int = DEFAULT_MAX_NUM_SEQS
    """Canvases denoised at the same time."""
    prefill_tokens: int = DEFAULT_PREFILL_TOKENS
    """Prompt tokens of one pass, over all requests: what a prompt may cost those who denoise."""

    @property
    def cache_tokens(self) -> int:
        """Tokens of context that the cache holds, over all sequences."""
        return PAGE_TOKENS * self.pages.get(None, min(self.pages.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What sequences need of the cache."""

    bytes_per_token: Mapping[Window, int]
    """Keys and values of one token in all layers of a group."""
    context_tokens: int
    """Of the longest sequence."""
    chunk_tokens: int
    """That one pass writes of a sequence at most."""

    def pages_of_one(self, window: Window) -> int:
        """Pages that one sequence of full length holds of a group at most."""
        seen = self.context_tokens
        if window is not None:
            # what the first token of a chunk sees, the chunk, and a page cut at both ends
            seen = min(seen, window - 1 + self.chunk_tokens + 2 * PAGE_TOKENS)
        return -(-seen // PAGE_TOKENS)

    @property
    def bytes_of_one(self) -> int:
        """Memory of one sequence of full length."""
        return self.bytes_of({window: self.pages_of_one(window) for window in self.bytes_per_token})

    def bytes_of(self, pages: Mapping[Window, int]) -> int:
        """Memory of so many pages."""
        return sum(
            count * PAGE_TOKENS * self.bytes_per_token[window] for window, count in pages.items()
        )


def share_out(budget_bytes: int, demand: Demand, *, max_num_seqs: int) -> dict[Window, int]:
    """Pages within a budget: for `max_num_seqs` sequences, and as many again for kept prefixes.

    What a window needs is small and comes first, but with at most half of what is left, as long
    contexts need pages of full attention. Each group gets at least what one sequence of full
    length needs; whether that fits is the caller's to check.
    """
    windows = sorted(demand.bytes_per_token, key=lambda window: (window is None, window))
    pages = {window: demand.pages_of_one(window) for window in windows}
    left = max(0, budget_bytes - demand.bytes_of(pages))
    for times in (1, 2):
        for window in windows:
            size = PAGE_TOKENS * demand.bytes_per_token[window]
            allowed = left if window == windows[-1] else left // 2
            wanted = times * max_num_seqs * demand.pages_of_one(window) - pages[window]
            pages[window] += max(0, min(wanted, allowed // size))
            left = max(0, budget_bytes - demand.bytes_of(pages))
    return pages
