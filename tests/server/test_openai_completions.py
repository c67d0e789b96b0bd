"""Completions and models, as the official client asks for them and reads them."""

from __future__ import annotations

from typing import Any

import pytest
from calls import COUNT, REVERSE
from openai import OpenAI
from openai_calls import MODEL, TURN, ask

from palimpsest.engine.api import TextCodec, checkpoint_folder


def complete(client: OpenAI, prompt: Any, **members: Any) -> Any:  # noqa: ANN401
    return client.completions.create(model=MODEL, prompt=prompt, seed=7, **members)


def test_text_and_its_token_ids_are_continued_alike(client: OpenAI) -> None:
    text = TURN.format(REVERSE)
    ids = TextCodec(checkpoint_folder("bundled")).encode(text)
    for prompt in (text, [text], ids, [ids]):
        answer = complete(client, prompt)
        assert (answer.object, answer.choices[0].text) == ("text_completion", "savnac")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens == len(ids)


def test_a_stream_brings_the_same_text(client: OpenAI) -> None:
    chunks = list(complete(client, TURN.format(COUNT), stream=True))
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == ask(client, COUNT).choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [True, False])
def test_log_probabilities_stand_at_the_offsets_of_their_tokens(
    client: OpenAI, stream: bool
) -> None:
    answer = complete(client, TURN.format(COUNT), logprobs=2, stream=stream)
    choices = [c for chunk in answer for c in chunk.choices] if stream else answer.choices
    text = "".join(choice.text for choice in choices)
    told = [choice.logprobs for choice in choices if choice.logprobs is not None]
    tokens = [token for part in told for token in part.tokens]
    offsets = [offset for part in told for offset in part.text_offset]
    assert "".join(tokens) == text
    assert all(text.startswith(t, o) for t, o in zip(tokens, offsets, strict=True))
    assert all(len(best) == 2 for part in told for best in part.top_logprobs)


def test_the_model_is_listed_and_described(client: OpenAI) -> None:
    (listed,) = client.models.list().data
    assert listed.id == MODEL
    assert client.models.retrieve(MODEL) == listed
    assert listed.model_extra == {"max_model_len": 4_096, "canvas_length": 64}
