"""The mailbox rule, in virtual time: commits never lost or reordered, drafts latest-wins."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run

from palimpsest.engine.api import (
    Committed,
    Encoded,
    EngineError,
    Failed,
    Finished,
    FinishReason,
    RequestEvent,
    Stepped,
    Usage,
)
from palimpsest.server.mailbox import Delivery, Mailbox, Pace

EVERY_STEP = Pace(every_n_steps=1, max_rate_hz=1e9)
ONE_A_SECOND = Pace(every_n_steps=1, max_rate_hz=1.0)


def prefill() -> Encoded:
    return Encoded(request_id=1, canvas_index=None, token_count=3, start_ns=0, end_ns=1)


def stepped(canvas: int, step: int) -> Stepped:
    return Stepped(
        request_id=1,
        canvas_index=canvas,
        step=step,
        start_ns=0,
        end_ns=1,
        batch_size=1,
        temperature=0.8,
        accepted_count=1,
        changed_count=1,
        mean_entropy=0.1,
        draft=None,
    )


def committed(canvas: int) -> Committed:
    return Committed(
        request_id=1,
        canvas_index=canvas,
        steps=1,
        converged=True,
        token_ids=(canvas,),
        start_ns=0,
        end_ns=1,
    )


def finished() -> Finished:
    usage = Usage(
        prompt_tokens=1, output_tokens=1, cached_prompt_tokens=0, canvases=1, denoising_steps=1
    )
    return Finished(request_id=1, reason=FinishReason.STOP, usage=usage)


async def read_all(mailbox: Mailbox) -> list[Delivery]:
    return [delivery async for delivery in mailbox]


def test_events_put_before_anybody_reads_are_all_delivered_in_order() -> None:
    async def story() -> list[Delivery]:
        mailbox = Mailbox(pace=None)
        for event in (prefill(), stepped(0, 1), committed(0), finished()):
            mailbox.put(event)
        return await read_all(mailbox)

    assert [delivery.event for delivery in run(story())] == [prefill(), committed(0), finished()]


def test_a_waiting_reader_gets_every_draft_when_it_is_fast_enough() -> None:
    async def story() -> list[int]:
        mailbox = Mailbox(EVERY_STEP)
        steps = []
        for step in (1, 2, 3):
            reading = asyncio.ensure_future(anext(mailbox))
            await asyncio.sleep(1)
            mailbox.put(stepped(0, step))
            delivery = await reading
            assert isinstance(delivery.event, Stepped)
            steps.append(delivery.event.step)
        return steps

    assert run(story()) == [1, 2, 3]


def test_a_slow_reader_gets_the_newest_draft_only_and_sees_the_gap() -> None:
    async def story() -> Delivery:
        mailbox = Mailbox(EVERY_STEP)
        for step in range(1, 10):
            mailbox.put(stepped(0, step))
        return await anext(mailbox)

    delivery = run(story())
    assert delivery == Delivery(sequence=9, event=stepped(0, 9))


def test_no_draft_follows_the_commit_of_its_canvas() -> None:
    async def story() -> list[Delivery]:
        mailbox = Mailbox(EVERY_STEP)
        mailbox.put(stepped(0, 1))
        mailbox.put(committed(0))
        mailbox.put(stepped(1, 1))
        return [await anext(mailbox), await anext(mailbox)]

    assert [delivery.event for delivery in run(story())] == [committed(0), stepped(1, 1)]


def test_drafts_keep_to_the_rate_and_the_newest_is_sent_when_the_time_comes() -> None:
    async def story() -> list[tuple[float, int]]:
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(ONE_A_SECOND)
        for step in range(100):
            loop.call_at(step * 0.125, mailbox.put, stepped(0, step + 1))
        seen = []
        for _ in range(5):
            delivery = await anext(mailbox)
            assert isinstance(delivery.event, Stepped)
            seen.append((loop.time(), delivery.event.step))
        return seen

    seen = run(story())
    assert [time for time, _ in seen] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert all(abs(step - 1 - time * 8) <= 1 for time, step in seen)


def test_a_commit_does_not_wait_for_the_drafts_turn() -> None:
    async def story() -> tuple[float, Delivery]:
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(ONE_A_SECOND)
        mailbox.put(stepped(0, 1))
        await anext(mailbox)
        mailbox.put(stepped(0, 2))
        loop.call_at(0.25, mailbox.put, committed(0))
        return loop.time(), await anext(mailbox)

    time, delivery = run(story())
    assert (time, delivery.event) == (0.0, committed(0))


def test_only_every_nth_step_is_offered_beginning_with_the_first() -> None:
    async def story() -> list[int]:
        mailbox = Mailbox(Pace(every_n_steps=3, max_rate_hz=1e9))
        steps = []
        for step in range(1, 8):
            mailbox.put(stepped(0, step))
            if (step - 1) % 3 == 0:
                delivery = await anext(mailbox)
                assert isinstance(delivery.event, Stepped)
                steps.append((delivery.sequence, delivery.event.step))
        return steps

    assert run(story()) == [(1, 1), (2, 4), (3, 7)]


def test_a_commit_brings_the_last_step_of_its_own_canvas() -> None:
    async def story() -> list[Delivery]:
        mailbox = Mailbox(pace=None)
        mailbox.put(stepped(0, 1))
        mailbox.put(stepped(0, 2))
        mailbox.put(committed(0))
        mailbox.put(stepped(1, 1))
        mailbox.put(committed(1))
        mailbox.put(finished())
        return await read_all(mailbox)

    first, second, _ = run(story())
    assert (first.last_step, first.final) == (stepped(0, 2), False)
    assert (second.last_step, second.final) == (stepped(1, 1), True)


def test_an_error_comes_after_the_commits_before_it() -> None:
    async def story() -> Delivery:
        mailbox = Mailbox(EVERY_STEP)
        mailbox.put(committed(0))
        mailbox.put(stepped(1, 1))
        mailbox.put(Failed(request_id=1, message="the device was lost"))
        mailbox.put(committed(1))
        first = await anext(mailbox)
        with pytest.raises(EngineError, match="the device was lost"):
            await anext(mailbox)
        with pytest.raises(StopAsyncIteration):
            await anext(mailbox)
        return first

    assert run(story()).event == committed(0)


def test_an_error_wakes_a_waiting_reader() -> None:
    async def story() -> None:
        mailbox = Mailbox(EVERY_STEP)
        asyncio.get_running_loop().call_later(5, mailbox.fail, TimeoutError("too long"))
        with pytest.raises(TimeoutError, match="too long"):
            await anext(mailbox)

    run(story())


def test_a_reader_that_was_cancelled_loses_nothing_for_the_next() -> None:
    async def story() -> list[Delivery]:
        mailbox = Mailbox(EVERY_STEP)
        reading = asyncio.ensure_future(anext(mailbox))
        await asyncio.sleep(1)
        reading.cancel()
        mailbox.put(committed(0))
        mailbox.put(finished())
        return await read_all(mailbox)

    assert [delivery.event for delivery in run(story())] == [committed(0), finished()]


def test_the_observer_sees_steps_that_the_reader_skips() -> None:
    async def story() -> list[RequestEvent]:
        seen: list[RequestEvent] = []
        mailbox = Mailbox(None, seen.append)
        mailbox.put(stepped(0, 1))
        mailbox.put(stepped(0, 2))
        return seen

    assert run(story()) == [stepped(0, 1), stepped(0, 2)]


canvases = st.lists(st.integers(min_value=1, max_value=6), min_size=0, max_size=8)
pauses = st.floats(min_value=0.0, max_value=0.2, allow_nan=False)


@settings(deadline=None)  # A busy machine is no failure.
@given(
    steps_per_canvas=canvases,
    data=st.data(),
    every_n_steps=st.integers(min_value=1, max_value=4),
    max_rate_hz=st.floats(min_value=0.5, max_value=1000.0),
)
def test_whatever_the_readers_speed_commits_arrive_once_in_order_and_drafts_never_after(
    steps_per_canvas: list[int], data: st.DataObject, every_n_steps: int, max_rate_hz: float
) -> None:
    engine_events: list[RequestEvent] = [prefill()]
    for canvas, steps in enumerate(steps_per_canvas):
        engine_events += [stepped(canvas, step + 1) for step in range(steps)]
        engine_events.append(committed(canvas))
    engine_events.append(finished())
    engine_pauses = data.draw(st.lists(pauses, min_size=1, max_size=5))
    reader_pauses = data.draw(st.lists(pauses, min_size=1, max_size=5))

    async def write(mailbox: Mailbox) -> None:
        for count, event in enumerate(engine_events):
            await asyncio.sleep(engine_pauses[count % len(engine_pauses)])
            mailbox.put(event)

    async def story() -> list[tuple[float, Delivery]]:
        mailbox = Mailbox(Pace(every_n_steps=every_n_steps, max_rate_hz=max_rate_hz))
        writing = asyncio.ensure_future(write(mailbox))
        seen = []
        async for delivery in mailbox:
            seen.append((asyncio.get_running_loop().time(), delivery))
            await asyncio.sleep(reader_pauses[len(seen) % len(reader_pauses)])
        await writing
        return seen

    seen = run(story())
    lossless = [delivery.event for _, delivery in seen if not isinstance(delivery.event, Stepped)]
    assert lossless == [event for event in engine_events if not isinstance(event, Stepped)]
    check_order(seen)
    check_pace(seen, every_n_steps, max_rate_hz)


def check_order(seen: list[tuple[float, Delivery]]) -> None:
    sequence = [delivery.sequence for _, delivery in seen]
    assert sequence == sorted(set(sequence))
    last_committed = -1
    for _, delivery in seen:
        if isinstance(delivery.event, Committed):
            last_committed = delivery.event.canvas_index
        if isinstance(delivery.event, Stepped):
            assert delivery.event.canvas_index > last_committed


def check_pace(seen: list[tuple[float, Delivery]], every_n_steps: int, max_rate_hz: float) -> None:
    drafts = [(time, d.event) for time, d in seen if isinstance(d.event, Stepped)]
    for (early, _), (late, _) in itertools.pairwise(drafts):
        assert late - early >= 1.0 / max_rate_hz - 1e-9
    assert all((draft.step - 1) % every_n_steps == 0 for _, draft in drafts)
