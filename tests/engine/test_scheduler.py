"""What runs in a pass: bounds, order, pages."""

from __future__ import annotations

import pytest
from scheduling import C, add, picture, run, scheduler, told

from palimpsest.engine.pages import PAGE_TOKENS, OutOfPages
from palimpsest.engine.scheduler import CANVASES_OF_A_TURN


def test_nothing_to_do_is_an_empty_pass() -> None:
    line = scheduler()
    assert not line.busy
    assert line.plan() == []


def test_a_short_prompt_and_its_first_canvas_share_a_pass() -> None:
    line = scheduler()
    add(line, 1, 30)
    assert told(run(line)) == [(1, 0, 30, True)]
    assert told(run(line)) == [(1, 30, 0, True)]


def test_a_commit_and_the_next_canvas_share_a_pass() -> None:
    line = scheduler()
    job = add(line, 1, 30)
    run(line)
    job.append(range(C))
    assert told(run(line)) == [(1, 30, C, True)]
    assert told(run(line)) == [(1, 30 + C, 0, True)]


def test_a_long_prompt_comes_in_chunks_of_the_budget_and_its_canvas_with_the_last() -> None:
    line = scheduler(prefill_tokens=100)
    add(line, 1, 250)
    assert [told(run(line)) for _ in range(3)] == [
        [(1, 0, 100, False)],
        [(1, 100, 100, False)],
        [(1, 200, 50, True)],
    ]


def test_prompts_share_the_budget_and_a_short_one_is_not_held_back_by_a_long_one() -> None:
    line = scheduler(prefill_tokens=100)
    add(line, 1, 900)
    add(line, 2, 30)
    assert told(run(line)) == [(1, 0, 70, False), (2, 0, 30, True)]


def test_the_oldest_prompt_gets_half_of_the_budget_whatever_shorter_ones_come() -> None:
    line = scheduler(prefill_tokens=100, max_running=30)
    add(line, 0, 300)
    for i in range(1, 20):
        add(line, i, 60)
    assert run(line)[0].encode == 50
    assert sum(turn.encode for turn in run(line)) == 100


def test_prompts_alike_are_read_one_after_another() -> None:
    line = scheduler(prefill_tokens=64, max_running=4)
    for i in range(4):
        add(line, i, 64)
    drafts = [[t.job.request_id for t in run(line) if t.denoise] for _ in range(4)]
    assert [len(ids) for ids in drafts] == [1, 2, 3, 4]


def test_a_prompt_is_not_admitted_on_pages_that_others_have_yet_to_take() -> None:
    line = scheduler(pages=12, prefill_tokens=64)
    for i in range(3):
        add(line, i, 5 * PAGE_TOKENS)
    while line.running == [] or any(job.pending for job in line.running):
        run(line)
    assert line.preempted == 0


def test_a_pass_reads_no_more_prompt_than_the_budget_whatever_comes() -> None:
    line = scheduler(prefill_tokens=7, max_running=20)
    for i in range(20):
        add(line, i, 40)
    while any(job.pending for job in line.running) or len(line.lines):
        assert sum(turn.encode for turn in run(line)) <= 7


def test_commits_do_not_wait_for_prompts() -> None:
    line = scheduler(prefill_tokens=10)
    job = add(line, 1, 8)
    run(line)
    add(line, 2, 500)
    job.append(range(C))
    assert told(run(line)) == [(1, 8, C, True), (2, 0, 10, False)]


def test_no_more_run_than_allowed_and_a_free_place_is_taken_at_once() -> None:
    line = scheduler(max_running=2)
    for i in range(3):
        add(line, i, 10)
    assert [turn.job.request_id for turn in run(line)] == [0, 1]
    line.remove(0)
    assert [turn.job.request_id for turn in run(line)] == [1, 2]


def test_one_without_room_for_its_prompt_waits_and_nobody_overtakes_it() -> None:
    line = scheduler(pages=4, prefill_tokens=1000)
    add(line, 1, 3 * PAGE_TOKENS)
    add(line, 2, 2 * PAGE_TOKENS)
    add(line, 3, 5)
    assert [turn.job.request_id for turn in run(line)] == [1]
    line.remove(1)
    assert [turn.job.request_id for turn in run(line)] == [2, 3]


def test_the_youngest_gives_its_pages_to_the_oldest_and_comes_back() -> None:
    line = scheduler(pages=5, prefill_tokens=1000)
    old, young = add(line, 1, 2 * PAGE_TOKENS), add(line, 2, 2 * PAGE_TOKENS + 1)
    run(line)
    old.append(range(C))
    assert told(run(line)) == [(1, 2 * PAGE_TOKENS, C, True)]
    assert (line.preempted, young.table.stored) == (1, 0)
    line.remove(1)
    (turn,) = run(line)
    # its complete pages were still in the cache
    assert (turn.job, turn.start, turn.encode) == (young, 2 * PAGE_TOKENS, 1)


def test_a_long_answer_makes_room_at_the_end_of_a_canvas_for_one_that_waits() -> None:
    line = scheduler(max_running=1)
    long, short = add(line, 1, 10), add(line, 2, 5)
    for canvas in range(CANVASES_OF_A_TURN):
        assert [turn.job for turn in run(line)] == [long], canvas
        long.append(range(C))
    assert [turn.job for turn in run(line)] == [short]
    line.remove(2)
    (turn,) = run(line)
    # its complete pages were still in the cache
    assert (turn.job, turn.start) == (long, (10 + 7 * C) // PAGE_TOKENS * PAGE_TOKENS)


def test_a_long_answer_makes_room_at_the_end_of_a_canvas_for_one_that_waits_for_pages() -> None:
    line = scheduler(pages=24)
    long = [add(line, i, 10) for i in range(2)]
    late = add(line, 2, 23 * PAGE_TOKENS)
    for canvas in range(CANVASES_OF_A_TURN):
        assert [turn.job for turn in run(line)] == long, canvas
        for job in long:
            job.append(range(C))
    # one goes, which is not enough, and at the end of its next canvas the other
    assert [turn.job for turn in run(line)] == long[1:]
    long[1].append(range(C))
    assert [turn.job for turn in run(line)] == [late]
    line.remove(2)
    assert [turn.job for turn in run(line)] == long


def test_a_long_prompt_keeps_its_place_until_as_much_is_written_as_was_read() -> None:
    line = scheduler(max_running=1, pages=60, prefill_tokens=1000)
    long, _ = add(line, 1, 12 * C), add(line, 2, 5)
    canvases = 0
    while [turn.job for turn in run(line)] == [long]:
        long.append(range(C))
        canvases += 1
    assert canvases == 12


def test_a_long_answer_keeps_its_place_while_nobody_waits() -> None:
    line = scheduler(max_running=1, pages=60)
    job = add(line, 1, 10)
    for _ in range(2 * CANVASES_OF_A_TURN):
        assert [turn.job for turn in run(line)] == [job]
        job.append(range(C))


def test_no_more_make_room_than_wait() -> None:
    line = scheduler(max_running=3)
    jobs = [add(line, i, 10) for i in range(3)]
    for _ in range(CANVASES_OF_A_TURN):
        run(line)
        for job in jobs:
            job.append(range(C))
    late = add(line, 9, 10)
    assert [turn.job for turn in run(line)] == [*jobs[1:], late]


def test_a_prompt_known_from_another_request_is_not_read_again() -> None:
    line = scheduler(prefill_tokens=1000)
    line.add(1, list(range(200)), share="", priority=0)
    run(line)
    line.add(2, [*range(150), 7, 7, 7], share="", priority=0)
    assert told(run(line))[1] == (2, 2 * PAGE_TOKENS, 153 - 2 * PAGE_TOKENS, True)


def test_one_that_can_never_fit_is_an_error_of_whoever_let_it_in() -> None:
    line = scheduler(pages=2)
    add(line, 1, 10 * PAGE_TOKENS)
    with pytest.raises(OutOfPages):
        for _ in range(10):
            run(line)


def test_a_picture_that_a_chunk_would_cut_waits_for_the_next_pass() -> None:
    line = scheduler(prefill_tokens=100)
    line.add(1, range(180), share="", priority=0, pictures=[picture(70, 150)])
    assert [told(run(line)) for _ in range(3)] == [
        [(1, 0, 70, False)],
        [(1, 70, 100, False)],
        [(1, 170, 10, True)],
    ]


def test_a_picture_longer_than_the_budget_is_read_in_one_pass() -> None:
    line = scheduler(prefill_tokens=100)
    line.add(1, range(180), share="", priority=0, pictures=[picture(10, 170)])
    assert [told(run(line)) for _ in range(3)] == [
        [(1, 0, 10, False)],
        [(1, 10, 160, False)],
        [(1, 170, 10, True)],
    ]


def test_a_long_picture_is_read_once_its_request_is_the_oldest_whatever_shorter_ones_come() -> None:
    line = scheduler(prefill_tokens=100, max_running=4)
    add(line, 1, 150)
    line.add(2, range(5_000, 5_120), share="", priority=0, pictures=[picture(0, 120)])
    passes = []
    for number in range(4):
        add(line, 10 + number, 60)
        passes.append([(t.job.request_id, t.encode) for t in run(line) if t.encode])
        line.remove(10 + number)
    read = [number for number, turns in enumerate(passes) if (2, 120) in turns]
    assert len(read) == 1


def test_removing_an_unknown_request_is_no_error() -> None:
    line = scheduler()
    line.remove(7)
    add(line, 1, 5)
    line.remove(1)
    line.remove(1)
    assert not line.busy
