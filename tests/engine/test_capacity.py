"""How memory is shared out, at the sizes of the released checkpoint too."""

from __future__ import annotations

import pytest

from palimpsest.engine.capacity import Demand, share_out
from palimpsest.engine.pages import PAGE_TOKENS

GB = 10**9
# the released checkpoint in BF16: 25 sliding layers of 8 x 256, 5 full ones of 2 x 512
RELEASED = {1024: 25 * 2 * 8 * 256 * 2, None: 5 * 2 * 2 * 512 * 2}


def demand(context: int = 262_144) -> Demand:
    return Demand(bytes_per_token=RELEASED, context_tokens=context, chunk_tokens=1024)


def test_a_sequence_holds_all_of_its_context_in_full_layers_and_a_window_in_sliding_ones() -> None:
    assert demand(262_144).pages_of_one(None) == 262_144 // PAGE_TOKENS
    # what the first token of a chunk sees, the chunk itself, and two cut pages
    assert demand(262_144).pages_of_one(1024) == -(-(1023 + 1024 + 2 * PAGE_TOKENS) // PAGE_TOKENS)
    assert demand(512).pages_of_one(1024) == 512 // PAGE_TOKENS


def test_the_released_checkpoint_at_full_context_takes_what_the_design_counts() -> None:
    full = demand().pages_of_one(None) * PAGE_TOKENS * RELEASED[None]
    assert full == pytest.approx(5.4 * GB, rel=0.02)


@pytest.mark.parametrize("budget", [8 * GB, 40 * GB, 100 * GB])
def test_pages_stay_within_the_budget_and_use_it(budget: int) -> None:
    pages = share_out(budget, demand(), max_num_seqs=64)
    taken = demand().bytes_of(pages)
    assert 0.98 * budget < taken <= budget
    assert pages[1024] * PAGE_TOKENS * RELEASED[1024] <= budget / 2


def test_64_canvases_over_32k_tokens_of_context_each_fit_where_the_weights_leave_80_gb() -> None:
    pages = share_out(80 * GB, demand(32_768), max_num_seqs=64)
    assert pages[None] >= 64 * demand(32_768).pages_of_one(None)
    assert pages[1024] >= 64 * demand(32_768).pages_of_one(1024)


def test_no_more_is_taken_than_twice_what_all_sequences_fill() -> None:
    pages = share_out(10_000 * GB, demand(1024), max_num_seqs=2)
    assert pages == {1024: 4 * 16, None: 4 * 16}


def test_one_sequence_always_gets_its_pages() -> None:
    pages = share_out(1, demand(4096), max_num_seqs=64)
    assert pages == {w: demand(4096).pages_of_one(w) for w in RELEASED}
