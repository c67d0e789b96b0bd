"""Tool calls: which of the declared functions to call, with which arguments, and what to say about
the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from palimpsest.engine.training.items import Call, Item, Message, assistant, user
from palimpsest.engine.training.wording import say, word

NO_TOOL = "I have no tool for that."
_SKIES = ("sunny", "cloudy", "rainy", "windy", "foggy")


def _declare(name: str, description: str, **types: str) -> Mapping[str, Any]:
    properties = {key: {"type": kind} for key, kind in types.items()}
    schema = {"type": "object", "properties": properties, "required": list(types)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


TOOLS = {
    "get_weather": _declare("get_weather", "Weather in a city", city="string"),
    "get_time": _declare("get_time", "Time in a city", city="string"),
    "set_timer": _declare("set_timer", "Start a timer", minutes="integer"),
    "send_message": _declare("send_message", "Write to a person", to="string", text="string"),
    "find_book": _declare("find_book", "Look for a book", title="string"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """A question, the call it needs, what the call may return and what to say then."""

    question: str
    call: Call
    response: Mapping[str, Any]
    answer: str


def tool_call(random: Random) -> Item:
    """A call, or a refusal where the function that it takes was not declared."""
    scene, before = _scene(random), _before(random)
    name, called = scene.call.name, {earlier.call.name for earlier in before}
    refused = random.random() < 0.15 and name not in called
    others = random.sample(sorted(set(TOOLS) - {name}), k=random.randint(int(refused), 2))
    declared = sorted({*others, *called} | (set() if refused else {name}))
    random.shuffle(declared)
    return Item(
        messages=(*_told(before), user(scene.question)),
        canonical=f"call {_about(scene)}",
        answer=NO_TOOL if refused else "",
        call=None if refused else scene.call,
        tools=tuple(TOOLS[one] for one in declared),
    )


def tool_answer(random: Random) -> Item:
    """What to say about a result."""
    scene, before = _scene(random), _before(random)
    called = sorted({earlier.call.name for earlier in (scene, *before)})
    random.shuffle(called)
    return Item(
        messages=(*_told(before), *_exchange(scene)),
        canonical=f"result {_about(scene)} {scene.answer}",
        answer=scene.answer,
        tools=tuple(TOOLS[name] for name in called),
    )


def _before(random: Random) -> list[_Scene]:
    """What was asked and answered before, in some conversations."""
    return [_scene(random) for _ in range(random.choice((0, 0, 0, 1, 1, 2)))]


def _told(scenes: Iterable[_Scene]) -> Iterator[Message]:
    for scene in scenes:
        yield from _exchange(scene)
        yield assistant(scene.answer)


def _exchange(scene: _Scene) -> tuple[Message, Message, Message]:
    """The question, the call and its result."""
    call = {"name": scene.call.name, "arguments": scene.call.arguments}
    turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }
    result = {"role": "tool", "name": scene.call.name, "content": scene.response}
    return user(scene.question), turn, result


def _about(scene: _Scene) -> str:
    return f"{scene.call.name} {sorted(scene.call.arguments.items())}"


def _scene(random: Random) -> _Scene:
    return random.choice((_weather, _time, _timer, _message, _book))(random)


def _weather(random: Random) -> _Scene:
    city, degrees, sky = word(random).capitalize(), random.randint(-20, 40), random.choice(_SKIES)
    return _Scene(
        question=say(random, "what is the weather in {}?", "weather in {}").format(city),
        call=Call(name="get_weather", arguments={"city": city}),
        response={"degrees": degrees, "sky": sky},
        answer=f"It is {sky} in {city}, at {degrees} degrees.",
    )


def _time(random: Random) -> _Scene:
    city, time = word(random).capitalize(), f"{random.randint(0, 23)}:{random.randint(10, 59)}"
    return _Scene(
        question=say(random, "what time is it in {}?", "time in {}").format(city),
        call=Call(name="get_time", arguments={"city": city}),
        response={"time": time},
        answer=f"It is {time} in {city}.",
    )


def _timer(random: Random) -> _Scene:
    minutes = random.randint(1, 90)
    return _Scene(
        question=say(random, "set a timer for {} minutes", "wake me in {} minutes").format(minutes),
        call=Call(name="set_timer", arguments={"minutes": minutes}),
        response={"started": True},
        answer=f"The timer runs for {minutes} minutes.",
    )


def _message(random: Random) -> _Scene:
    person, text = word(random).capitalize(), word(random)
    return _Scene(
        question=say(random, "tell {} this: {}", "write to {}: {}").format(person, text),
        call=Call(name="send_message", arguments={"to": person, "text": text}),
        response={"sent": True},
        answer=f"{person} has your message.",
    )


def _book(random: Random) -> _Scene:
    title, pages = word(random), random.randint(10, 999)
    return _Scene(
        question=say(random, "find the book {}", "look for the book {}").format(title),
        call=Call(name="find_book", arguments={"title": title}),
        response={"pages": pages},
        answer=f"I found {title}, it has {pages} pages.",
    )
