"""OpenAI's client for Python makes each request of the table; scenarios.mjs is its twin for Node.
One JSON object a line. The address and the key are those of OPENAI_BASE_URL and OPENAI_API_KEY.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
from openai import OpenAI

client: Any = OpenAI(max_retries=0)  # requests are plain JSON, which its types are too narrow for
MODEL = "palimpsest-tiny"
REVERSE = "reverse the word: canvas"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Weather in a city", "parameters": CITY}
BUSY = {
    "max_denoising_steps": 1_000,
    "confidence_threshold": 0.0,
    "previews": True,
    "max_rate_hz": 1_000,
}
COLOUR = {"type": "text", "text": "what colour is the circle?"}
CIRCLE = Path(__file__).with_name("circle.png").read_bytes()


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def ask(content: object, **more: object) -> Any:  # noqa: ANN401 - the client's own types
    return client.chat.completions.create(model=MODEL, seed=7, messages=[user(content)], **more)


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except openai.APIStatusError as error:
        told = [type(error).__name__, error.status_code, error.code, error.param]
        return " ".join(str(one) for one in told if one)
    return "answered"


def models() -> str:
    return ",".join(one.id for one in client.models.list().data)


def chat() -> str:
    answer = ask(REVERSE)
    (choice,) = answer.choices
    tokens = answer.usage.completion_tokens
    return f"{choice.message.content} {choice.finish_reason} {tokens} tokens"


def stream() -> str:
    parts, tokens = [], None
    more = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in ask("count from 1 to 40", **more):
        if chunk.choices and chunk.choices[0].delta.content:
            parts.append(chunk.choices[0].delta.content)
        tokens = chunk.usage and chunk.usage.completion_tokens
    whole = ask("count from 1 to 40")
    expected = (whole.choices[0].message.content, whole.usage.completion_tokens)
    same = ("".join(parts), tokens) == expected
    return f"{len(parts)} parts {'as in' if same else 'unlike'} one piece"


def drafts() -> str:
    parts, count = [], 0
    for chunk in ask(REVERSE, stream=True, extra_body={"diffusion": {"previews": True}}):
        count += "diffusion" in chunk.model_extra
        parts += [choice.delta.content or "" for choice in chunk.choices]
    return f"{'drafts' if count else 'no drafts'} and {''.join(parts)}"


def tools() -> str:
    messages: list[object] = []
    told: list[str] = []
    results = {"Oslo": {"degrees": -5, "sky": "cloudy"}, "Rome": {"degrees": 21, "sky": "sunny"}}
    asked = {"model": MODEL, "seed": 7, "tools": [{"type": "function", "function": WEATHER}]}
    for city, result in results.items():
        messages.append(user(f"weather in {city}"))
        message = client.chat.completions.create(messages=messages, **asked).choices[0].message
        (call,) = message.tool_calls
        told.append(f"{call.function.name} {call.function.arguments}")
        content = json.dumps(result)
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": content}]
        message = client.chat.completions.create(messages=messages, **asked).choices[0].message
        told.append(message.content)
        messages.append(message)
    return " → ".join(told)


def json_schema() -> str:
    schema = {"name": "person", "strict": True, "schema": PERSON}
    form = {"type": "json_schema", "json_schema": schema}
    return ask("as person json: ada, age 36", response_format=form).choices[0].message.content


def thinking() -> str:
    more = {"chat_template_kwargs": {"enable_thinking": True}}
    message = ask("add 172 and 651 and 144", extra_body=more).choices[0].message
    return f"{message.content} {'after a thought' if message.reasoning_content else 'at once'}"


def logprobs() -> str:
    content = ask(REVERSE, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    return f"{'-'.join(one.token for one in content)} of {len(content[0].top_logprobs)} each"


def responses() -> str:
    more = {"extra_body": {"seed": 7}}
    response = client.responses.create(model=MODEL, input=REVERSE, **more)
    return f"{response.output_text} {response.status} {response.usage.output_tokens} tokens"


def responses_stream() -> str:
    asked = {"model": MODEL, "input": "count from 1 to 40", "extra_body": {"seed": 7}}
    parts, kinds = [], []
    for event in client.responses.create(**asked, stream=True):
        kinds.append(event.type.removeprefix("response."))
        parts += [event.delta] if kinds[-1] == "output_text.delta" else []
    same = "".join(parts) == client.responses.create(**asked).output_text
    first_and_last = f"{kinds[0]} to {kinds[-1]}"
    return f"{first_and_last}, {len(parts)} parts {'as in' if same else 'unlike'} one piece"


def responses_tools() -> str:
    asked = {"model": MODEL, "tools": [{"type": "function", "strict": False, **WEATHER}]}
    given = [user("weather in Oslo")]
    asked["extra_body"] = {"seed": 7}
    (call,) = client.responses.create(input=given, **asked).output
    output = json.dumps({"degrees": -5, "sky": "cloudy"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": output}
    answer = client.responses.create(input=[*given, call, result], **asked)
    return f"{call.name} {call.arguments} → {answer.output_text}"


def abort() -> str:
    more = {"extra_headers": {"x-request-id": "aborted-by-python"}}
    chunks = ask(REVERSE, stream=True, extra_body={"diffusion": BUSY}, **more)
    for chunk in chunks:
        if "diffusion" in chunk.model_extra:
            chunks.close()
            break
    # one request runs at a time, so this one waits until the other is gone
    return f"then {ask(REVERSE).choices[0].message.content}"


def wrong_key() -> str:
    return refusal(OpenAI(api_key="wrong", max_retries=0).models.list)


def over_long_prompt() -> str:
    return refusal(lambda: ask("a word " * 3_000))


def picture(data: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def image() -> str:
    return ask([picture(CIRCLE), COLOUR]).choices[0].message.content


def broken_image() -> str:
    return refusal(lambda: ask([COLOUR, picture(b"nothing")]))


SCENARIOS = {
    "models": models,
    "chat": chat,
    "stream": stream,
    "drafts": drafts,
    "tools": tools,
    "JSON schema": json_schema,
    "thinking": thinking,
    "logprobs": logprobs,
    "responses": responses,
    "responses, stream": responses_stream,
    "responses, tools": responses_tools,
    "abort in mid-stream": abort,
    "wrong key": wrong_key,
    "over-long prompt": over_long_prompt,
    "image": image,
    "broken image": broken_image,
}

if __name__ == "__main__":
    for request, play in SCENARIOS.items():
        print(json.dumps({"request": request, "result": play()}), flush=True)
