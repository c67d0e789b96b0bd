"""Drafts, steps and speeds over OpenAI's API: only for those who ask, and in nobody's way."""

from __future__ import annotations

from typing import Any

from calls import COUNT, REVERSE
from openai import OpenAI
from openai_calls import MODEL, ask, drafts, text_of, user

SHOWN = {"diffusion": {"previews": True, "max_rate_hz": 1_000}}


def test_drafts_come_in_chunks_without_choices(client: OpenAI) -> None:
    chunks = list(ask(client, COUNT, stream=True, extra_body=SHOWN))
    shown = drafts(chunks)
    while not shown:  # a reader that is slow may miss all drafts of an answer
        shown = drafts(chunks := list(ask(client, COUNT, stream=True, extra_body=SHOWN)))
    assert all(draft["kind"] == "draft" for draft in shown)
    assert shown[0]["text"]
    assert 1 <= shown[0]["step"] <= shown[0]["max_denoising_steps"]
    assert shown[0]["step_ms"] > 0
    assert {draft["canvas_index"] for draft in shown} <= {0, 1}
    assert text_of(chunks) == ask(client, COUNT).choices[0].message.content


def test_the_clients_own_stream_passes_over_drafts(client: OpenAI) -> None:
    messages: Any = [user(COUNT)]
    with client.chat.completions.stream(
        model=MODEL, messages=messages, seed=7, extra_body=SHOWN
    ) as stream:
        kinds = {event.type for event in stream}
        text = stream.get_final_completion().choices[0].message.content
    assert kinds == {"chunk", "content.delta", "content.done"}
    assert text == ask(client, COUNT).choices[0].message.content


def test_a_report_says_steps_and_speeds_whole_and_streamed(client: OpenAI) -> None:
    asked = {"diffusion": {"report": True}}
    whole = ask(client, REVERSE, n=2, extra_body=asked).model_extra["diffusion"]
    (streamed,) = drafts(list(ask(client, REVERSE, n=2, stream=True, extra_body=asked)))
    for report in (whole, streamed):
        assert (report["kind"], report["seed"]) == ("report", 7)
        assert [answer["candidate_index"] for answer in report["answers"]] == [0, 1]
        for answer in report["answers"]:
            assert answer["denoising_steps"] >= answer["canvases"] == 1
            assert answer["effective_tokens_per_second"] > answer["output_tokens_per_second"] > 0
            assert answer["time_to_first_commit_ms"] >= answer["time_to_first_draft_ms"] > 0


def test_settings_of_denoising_are_those_of_the_contract(client: OpenAI) -> None:
    settings = {"max_denoising_steps": 3, "confidence_threshold": 0.0, "report": True}
    report = ask(client, REVERSE, extra_body={"diffusion": settings}).model_extra["diffusion"]
    assert report["answers"][0]["denoising_steps"] == 3
