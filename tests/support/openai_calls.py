"""The official OpenAI client against a server of ours, short to write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletionChunk
from server_process import ServerProcess

MODEL = "palimpsest-tiny"
TURN = "<bos><|turn>user\n{}<turn|>\n<|turn>model\n"
"""A conversation of one question as text, as the bundled model's template writes it."""
NEVER_CONVERGES = {"max_denoising_steps": 1_000, "confidence_threshold": 0.0}
"""Members of `diffusion` that keep one canvas busy for many seconds."""
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@contextlib.contextmanager
def connected(server: ServerProcess) -> Iterator[OpenAI]:
    """A client that shows the first answer, whatever it is."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def ask(client: OpenAI, text: str, **members: Any) -> Any:  # noqa: ANN401 - the client's own types
    """A chat completion, with seed 7 unless told otherwise."""
    asked: Any = {"model": MODEL, "messages": [user(text)], "seed": 7, **members}
    return client.chat.completions.create(**asked)


def drafts(chunks: list[ChatCompletionChunk]) -> list[dict[str, Any]]:
    """What official clients pass over."""
    extras = [chunk.model_extra or {} for chunk in chunks]
    return [extra["diffusion"] for extra in extras if "diffusion" in extra]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
