"""Questions with labels over an engine that does as it is told: errors, crashes, and places."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from scripted_generator import generating
from scripted_worker import CRASH, ENDLESS, FAIL

from palimpsest.engine.api import EngineError, EngineStopped, Overloaded
from palimpsest.server.call import Call
from palimpsest.server.decide import Decider
from palimpsest.server.gate import Gate
from palimpsest.server.generation import Generator
from palimpsest.server.prompts import TokenPrompt
from palimpsest.server.questions import Decided, Inquiry, Question
from palimpsest.server.supervisor import Supervisor

SCORED = 1
RUNNING_S = 0.5
"""After this an endless question runs."""


async def decided(
    parts: tuple[Supervisor, Generator],
    order: int,
    *,
    labels: Sequence[tuple[str, ...]] = 3 * (("a", "bcd"),),
    time_limit_s: float = 100.0,
) -> Decided:
    """One question for each of `labels`, on a prompt that tells the engine what to do."""
    engine, generator = parts
    inquiry = Inquiry(
        model="",
        prompt=TokenPrompt(token_ids=(order,)),
        questions=tuple(Question(text="", labels=each) for each in labels),
        seed=0,
    )
    call = Call(method="test", request_id="r", time_limit_s=time_limit_s, trace=None)
    return await Decider(generator, engine, Gate()).decide(inquiry, call)


async def test_each_question_gets_the_scores_of_its_own_labels_in_their_order() -> None:
    labels = [("a", "b" * (2 + number % 5)) for number in range(20)]
    async with generating(max_queue=0, max_running=3) as parts:
        answer = await decided(parts, SCORED, labels=labels)
    told = [decision.log_probabilities for decision in answer.decisions]
    assert told == [(-1.0, -2.0 - number % 5) for number in range(20)]
    assert answer.usage.prompt_tokens == 20


async def test_a_call_holds_as_many_places_as_run_at_once_until_its_end() -> None:
    async with generating(max_queue=4, max_running=3) as parts:
        endless = asyncio.ensure_future(decided(parts, ENDLESS, labels=9 * [("a", "b")]))
        await asyncio.wait({endless}, timeout=RUNNING_S)
        assert parts[0].places_taken == 3
        with pytest.raises(Overloaded), parts[0].reserve(5):
            pytest.fail("there are four places left")
        with parts[0].reserve(4), pytest.raises(Overloaded), parts[0].admit():
            pytest.fail("there is no place left")
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert parts[0].places_taken == 0


async def test_cancelling_stops_what_runs() -> None:
    async with generating(max_queue=0) as parts:
        endless = asyncio.ensure_future(decided(parts, ENDLESS))
        await asyncio.wait({endless}, timeout=RUNNING_S)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        # the engine gets to this only if the endless one was cancelled
        assert len((await decided(parts, SCORED)).decisions) == 3


@pytest.mark.parametrize(("order", "error"), [(FAIL, EngineError), (CRASH, EngineStopped)])
async def test_an_error_of_one_question_ends_the_call_and_frees_all_places(
    order: int, error: type[EngineError]
) -> None:
    async with generating(max_queue=2) as parts:
        with pytest.raises(error) as caught:
            await decided(parts, order)
        assert type(caught.value) is error
        assert parts[0].places_taken == 0


async def test_a_crash_takes_no_other_call_down_that_comes_after_it() -> None:
    async with generating(max_queue=2) as parts:
        with pytest.raises(EngineStopped):
            await decided(parts, CRASH)
        while True:
            try:
                answer = await decided(parts, SCORED)
            except EngineStopped:
                await asyncio.sleep(0.01)
            else:
                break
    assert len(answer.decisions) == 3


async def test_the_deadline_ends_a_call_whose_first_question_never_ends() -> None:
    async with generating(max_queue=2) as parts:
        with pytest.raises(TimeoutError, match="longer than its deadline"):
            await decided(parts, ENDLESS, time_limit_s=0.3)
        assert parts[0].places_taken == 0
        assert len((await decided(parts, SCORED)).decisions) == 3


async def test_nothing_is_begun_once_the_gate_is_closed() -> None:
    async with generating(max_queue=2) as parts:
        gate = Gate()
        gate.close()
        inquiry = Inquiry(
            model="",
            prompt=TokenPrompt(token_ids=(SCORED,)),
            questions=(Question(text="", labels=("a", "b")),),
        )
        call = Call(method="test", request_id="r", time_limit_s=100.0, trace=None)
        with pytest.raises(EngineStopped, match="shutting down"):
            await Decider(parts[1], parts[0], gate).decide(inquiry, call)
