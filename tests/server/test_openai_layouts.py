"""What is made of messages and answers, where the bundled model's own say too little."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from palimpsest.engine.api import Committed, Stepped
from palimpsest.server.exchange import AnswerEvent, Commit
from palimpsest.server.openai.answers import first_call_only
from palimpsest.server.openai.chat import ChatLayout
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.messages import chat_messages
from palimpsest.server.prompts import ToolCall

STEP = Stepped(
    request_id=1,
    canvas_index=0,
    step=1,
    start_ns=0,
    end_ns=1,
    batch_size=1,
    temperature=0.5,
    accepted_count=1,
    changed_count=1,
    mean_entropy=0.1,
    draft=None,
)
CANVAS = Committed(
    request_id=1, canvas_index=0, steps=1, converged=True, token_ids=(), start_ns=0, end_ns=1
)


def calling(*cities: str, candidate_index: int = 0, text: str = "") -> Commit:
    """A canvas that ends a call for each city."""
    return Commit(
        sequence=1,
        canvas=CANVAS,
        last_step=STEP,
        text_delta=text,
        tool_calls=tuple(ToolCall(id=f"call_{c}", name="f", arguments={"city": c}) for c in cities),
        candidate_index=candidate_index,
    )


def test_calls_are_counted_through_the_canvases_of_each_answer() -> None:
    layout = ChatLayout(None)
    told = [calling("a", "b"), calling("c"), calling("d", candidate_index=1)]
    parts = [layout.part(commit) for commit in told]
    indices = [[c["index"] for c in part["delta"]["tool_calls"]] for part in parts if part]
    assert indices == [[0, 1], [2], [0]]
    assert parts[0] is not None
    first = parts[0]["delta"]["tool_calls"][0]
    assert json.loads(first["function"]["arguments"]) == {"city": "a"}


def test_a_canvas_that_adds_nothing_is_not_told() -> None:
    assert ChatLayout(None).part(calling()) is None


@pytest.mark.parametrize(
    ("content", "is_object"),
    [
        ('{"degrees": 6, "sky": "windy"}', True),
        ("6 degrees", False),
        ("[6]", False),
        ('{"degrees": NaN}', False),
        ('{"id": 9007199254740993}', False),
    ],
)
def test_a_result_is_an_object_for_the_model_if_that_changes_nothing_of_it(
    content: str, is_object: bool
) -> None:
    result = {"role": "tool", "tool_call_id": "c", "content": content}
    (message,) = chat_messages(Members({"messages": [result]}))
    assert message.tool_result.HasField("response") == is_object
    assert [part.text for part in message.parts] == ([] if is_object else [content])


async def test_where_one_call_is_allowed_the_others_are_left_out() -> None:
    async def events() -> AsyncIterator[AnswerEvent]:
        yield calling("a", "b", text="x")
        yield calling("c", text="y")
        yield calling("d", candidate_index=1)

    kept = [event async for event in first_call_only(events()) if isinstance(event, Commit)]
    assert [[call.id for call in event.tool_calls] for event in kept] == [
        ["call_a"],
        [],
        ["call_d"],
    ]
    assert "".join(event.text_delta for event in kept) == "xy"
