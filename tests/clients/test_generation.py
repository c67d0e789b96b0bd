"""Both clients against the real server and the bundled model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from palimpsest import AsyncClient, Client, errors
from palimpsest.events import Commit, Completed, Event, Snapshot, Started
from palimpsest.requests import EVERY_STEP, NO_DRAFTS, Canvas, Preview

PROMPT = "reverse the word: canvas"


@pytest.fixture(scope="module")
def client(server_address: str) -> Iterator[Client]:
    with Client(server_address) as client:
        yield client


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text_delta for event in events if isinstance(event, Commit))


def test_a_stream_and_a_call_with_one_seed_give_one_answer(client: Client) -> None:
    events = list(client.stream(PROMPT, seed=7, preview=NO_DRAFTS))
    generation = client.generate(PROMPT, seed=7)
    assert text_of(events) == generation.text != ""
    tokens = [token for e in events if isinstance(e, Commit) for token in e.token_ids]
    assert tuple(tokens) == generation.token_ids
    assert generation.seed == 7
    assert generation.usage.output_tokens == len(tokens)


async def test_the_asyncio_client_gets_the_same_answer(server_address: str, client: Client) -> None:
    async with AsyncClient(server_address) as aio:
        events = [event async for event in aio.stream(PROMPT, seed=7)]
        generation = await aio.generate(PROMPT, seed=7)
        assert await aio.count_tokens(PROMPT) == client.count_tokens(PROMPT)
        assert await aio.models() == client.models()
        assert (await aio.model()).name == "palimpsest-tiny"
    assert text_of(events) == generation.text == client.generate(PROMPT, seed=7).text


def test_the_events_come_in_order_and_figures_agree(client: Client) -> None:
    started, *between, completed = client.stream(PROMPT, seed=7, preview=EVERY_STEP)
    assert isinstance(started, Started)
    assert isinstance(completed, Completed)
    assert completed.usage.prompt_tokens == started.prompt_tokens == client.count_tokens(PROMPT)
    steps = 0
    for event in between:
        if isinstance(event, Snapshot):
            assert event.step > steps
            steps = event.step
            assert sum(event.accepted) == event.figures.accepted_count
            assert len(event.token_texts) == len(event.confidence) == started.canvas_length
            assert event.max_denoising_steps == 48
    [commit] = [event for event in between if isinstance(event, Commit)]
    assert commit.steps == completed.usage.denoising_steps >= steps
    assert completed.finish_reason == "stop"


def test_the_texts_of_the_tokens_read_as_the_draft(client: Client) -> None:
    text = Preview(mode="text", max_rate_hz=1000)
    by_step = {
        event.step: event.text
        for event in client.stream(PROMPT, seed=7, preview=text)
        if isinstance(event, Snapshot)
    }
    for event in client.stream(PROMPT, seed=7, preview=EVERY_STEP):
        if isinstance(event, Snapshot) and event.step in by_step:
            # The draft as text ends where its end token stands.
            assert "".join(event.token_texts).startswith(by_step[event.step])


def test_an_answer_drawn_with_an_unknown_seed_can_be_had_again(client: Client) -> None:
    first = client.generate(PROMPT)
    assert client.generate(PROMPT, seed=first.seed).token_ids == first.token_ids


def test_a_conversation_is_longer_than_its_last_message(client: Client) -> None:
    conversation = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": "savnac"},
        {"role": "user", "content": "add 27 and 48"},
    ]
    assert client.count_tokens(messages=conversation) > client.count_tokens("add 27 and 48")


def test_raw_text_has_no_template_around_it(client: Client) -> None:
    assert client.count_tokens(raw_text=PROMPT) < client.count_tokens(PROMPT)


def test_what_the_server_cannot_do_yet_is_named(client: Client) -> None:
    with pytest.raises(errors.Unimplemented, match="tool_choice"):
        client.generate(PROMPT, tool_choice={"tool_name": "get_weather"})


def test_a_model_that_is_not_served_is_not_found(server_address: str) -> None:
    with Client(server_address, model="gpt-17") as other:
        with pytest.raises(errors.NotFound, match="gpt-17"):
            other.generate(PROMPT)
        with pytest.raises(errors.NotFound, match="gpt-17"):
            other.model()


def test_a_refusal_names_the_field_as_the_contract_does(client: Client) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.generate(PROMPT, temperature=-1)
    assert [v.field for v in caught.value.violations] == ["input.sampling.temperature"]


def test_a_model_tells_its_limits_and_defaults(client: Client) -> None:
    [model] = client.models()
    assert model == client.model()
    assert model.canvas_length == 64
    assert model.defaults["max_denoising_steps"] == 48


def test_a_stop_sequence_ends_the_answer(client: Client) -> None:
    whole = client.generate("count from 1 to 40", seed=7).text
    *_, completed = events = list(
        client.stream("count from 1 to 40", seed=7, stop_sequences=[" 9", " 7"])
    )
    assert text_of(events) == whole[: whole.index(" 7")]
    assert isinstance(completed, Completed)
    assert completed.finish_reason == "stop_sequence"


def test_candidates_come_beside_the_first_answer_and_mixed_in_a_stream(client: Client) -> None:
    generation = client.generate(PROMPT, seed=7, candidate_count=3)
    assert [candidate.seed for candidate in generation.more_candidates] == [8, 9]
    events = list(client.stream(PROMPT, seed=7, candidate_count=3, preview=EVERY_STEP))
    for index, candidate in enumerate([generation, *generation.more_candidates]):
        alone = client.generate(PROMPT, seed=7 + index)
        assert (candidate.text, candidate.token_ids) == (alone.text, alone.token_ids)
        assert candidate.finish_reason == alone.finish_reason == "stop"
        own = [e for e in events if not isinstance(e, Started) and e.candidate_index == index]
        assert text_of(own) == alone.text
        assert isinstance(own[-1], Completed)
    assert client.generate(PROMPT, seed=7).more_candidates == ()


def test_log_probabilities_come_with_each_token(client: Client) -> None:
    answer = client.generate(PROMPT, seed=7, logprobs=2)
    assert len(answer.logprobs) == len(answer.token_ids)
    assert all(len(position.top) == 2 for position in answer.logprobs)
    assert all(position.top[0][1] == position.logprob <= 0.0 for position in answer.logprobs)


def test_a_template_is_filled_whether_it_comes_as_text_or_in_parts(client: Client) -> None:
    as_text = Canvas(template="the answer is [[10]]!")
    written = client.generate(PROMPT, seed=7, canvas=as_text)
    assert written.text.startswith("the answer is ")
    assert written.text.endswith("!")
    in_parts = Canvas(template=("the answer is ", 10, "!"))
    with client.stream(PROMPT, seed=7, canvas=in_parts) as events:
        assert text_of(list(events)) == written.text


def test_a_canvas_that_does_not_fit_the_contract_is_refused_by_its_field(client: Client) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"input\.canvas: "):
        client.generate("hello", canvas=Canvas(canvas_length=-1))
