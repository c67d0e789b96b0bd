"""Suites: what a line becomes, what is refused and in which words, and the public ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from palimpsest.evaluation.lines import BadInput
from palimpsest.evaluation.matchers import Matcher
from palimpsest.evaluation.suite import load
from palimpsest.prompts import PromptSource, prompt_of

ADD = {"prompt": "add 27 and 48", "expected": "75"}


def suite(path: Path, *lines: object) -> str:
    """A suite of these lines; those that are text stand as they are."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def test_a_line_of_prompt_and_answer_is_an_item(tmp_path: Path) -> None:
    [item] = load([suite(tmp_path / "sums.jsonl", ADD)])
    assert item.messages == ({"role": "user", "content": "add 27 and 48"},)
    assert (item.skill, item.expected, item.matcher) == ("sums", "75", Matcher.EXACT)
    assert (item.tools, item.enable_thinking, item.max_output_tokens) == ((), None, None)


def test_a_line_can_say_everything(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    tools = [{"name": "get_time", "parameters": {"type": "object", "properties": {}}}]
    line = {
        "messages": messages,
        "tools": tools,
        "enable_thinking": False,
        "expected": [{"name": "get_time", "arguments": {}}],
        "matcher": "tool_calls",
        "id": "one",
        "skill": "calls",
        "max_output_tokens": 64,
    }
    [item] = load([suite(tmp_path / "a.jsonl", line)])
    assert item.messages == tuple(messages)
    assert item.tools == tuple(tools)
    assert item.enable_thinking is False
    assert (item.id, item.skill, item.matcher) == ("one", "calls", Matcher.TOOL_CALLS)
    assert item.max_output_tokens == 64


def test_pictures_stand_before_the_prompt_and_are_found_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    line = ADD | {"images": ["a.png", "data:image/png;base64,cG5n"], "video": ["a.png", "a.png"]}
    [item] = load([suite(tmp_path / "seen.jsonl", line)])
    (message,) = prompt_of(PromptSource(messages=item.conversation)).chat.messages

    assert [part.WhichOneof("kind") for part in message.parts] == [
        "image",
        "image",
        "video",
        "text",
    ]
    assert [part.image.data for part in message.parts[:2]] == [b"png"] * 2
    assert len(message.parts[2].video.frames.images) == 2
    assert item.question == "add 27 and 48"


def test_items_that_differ_in_a_picture_alone_have_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    inline = ADD | {"images": ["data:image/png;base64,cG5n"]}
    other = ADD | {"images": ["data:image/png;base64,cG5m"]}
    plain, same, another = load([suite(tmp_path / "seen.jsonl", ADD, inline, other)])
    [by_path] = load([suite(tmp_path / "files.jsonl", ADD | {"images": ["a.png"]})])

    assert len({plain.id, same.id, another.id}) == 3
    assert by_path.id == same.id


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ('["add"]', "not an object"),
        ({"prompt": "add"}, "expected: is missing"),
        ({"expected": "75"}, "prompt: is missing"),
        (ADD | {"images": "a.png"}, 'images: "a.png" is not a list'),
        (ADD | {"images": [7]}, "images: 7 is not the path or URL of a file"),
        (ADD | {"images": ["no.png"]}, "no.png: No such file or directory"),
        (ADD | {"video": 7}, "video: 7 is not the path or URL of a file"),
        (
            {"messages": [{"role": "user", "content": "hi"}], "images": [], "expected": "a"},
            "images: stands before a prompt, and there is none",
        ),
        ({"prompt": 75, "expected": "75"}, "prompt: 75 is not text"),
        (ADD | {"messages": [{"role": "user"}]}, "messages: stands beside a prompt"),
        (ADD | {"matcher": "fuzzy"}, 'matcher: "fuzzy" is none of exact, strip'),
        (ADD | {"matcher": "regex", "expected": "("}, "expected: "),
        (ADD | {"expected": 75}, "expected: 75 is not text (matcher exact)"),
        (ADD | {"enable_thinking": "on"}, 'enable_thinking: "on" is not true or false'),
        (ADD | {"max_output_tokens": 0}, "max_output_tokens: 0 is below 1"),
        (ADD | {"max_output_tokens": True}, "max_output_tokens: true is not a whole number"),
        (ADD | {"max_output_tokens": 6.5}, "max_output_tokens: 6.5 is not a whole number"),
        (ADD | {"tools": {}}, "tools: {} is not a list"),
        (ADD | {"tools": ["get_time"]}, 'tools[0]: "get_time" is not an object'),
        (ADD | {"id": 7}, "id: 7 is not text"),
        (ADD | {"answer": "75"}, "answer: unknown"),
        (
            {"messages": [{"role": "bard", "content": "hi"}], "expected": ""},
            "messages[0].role: 'bard' is none of",
        ),
        ({"messages": [{"role": "user"}], "expected": ""}, "messages[0].content: "),
        (ADD | {"tools": [{"nom": "get_time"}]}, "tools[0].nom: unknown"),
        ('{"prompt": "half \\ud800", "expected": ""}', "not JSON"),
    ],
)
def test_a_bad_line_is_refused_with_file_line_and_field(
    tmp_path: Path, line: object, complaint: str
) -> None:
    path = suite(tmp_path / "mine.jsonl", ADD, "", line)
    with pytest.raises(BadInput) as caught:
        load([path])
    assert str(caught.value).startswith(f"{path}:3: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "caf\xe9"}')
    for name in ("gone.jsonl", "mmlu=gone.jsonl", "empty", "latin.jsonl"):
        with pytest.raises(BadInput, match=name.partition("=")[0]):
            load([str(tmp_path / name) if "=" not in name else name])
    with pytest.raises(BadInput, match="holds no items"):
        load([suite(tmp_path / "blank.jsonl", "", " ")])


def test_an_item_without_id_has_that_of_its_content(tmp_path: Path) -> None:
    other = {"prompt": "add 1 and 1", "expected": "2"}
    first = load([suite(tmp_path / "a.jsonl", ADD, other)])
    again = load([suite(tmp_path / "b.jsonl", other, ADD)])
    assert [item.id for item in first] == [item.id for item in again][::-1]
    assert first[0].id != first[1].id


def test_two_items_of_one_id_are_refused(tmp_path: Path) -> None:
    twice = [suite(tmp_path / "a.jsonl", ADD, ADD)]
    with pytest.raises(BadInput, match="id"):
        load(twice)
    same_id = {"prompt": "add 1 and 1", "expected": "2", "id": "x"}
    with pytest.raises(BadInput, match="x of skill b"):
        load([suite(tmp_path / "b.jsonl", same_id, ADD | {"id": "x"})])


def test_skills_and_items_pick_a_part_in_the_suite_s_order(tmp_path: Path) -> None:
    for skill in ("a", "b", "c"):
        lines = [ADD | {"id": f"{skill}{number}"} for number in range(3)]
        suite(tmp_path / f"{skill}.jsonl", *lines)
    picked = load([str(tmp_path)], skills=["c", "a"], items=2)
    assert [item.id for item in picked] == ["a0", "a1", "c0", "c1"]
    with pytest.raises(BadInput, match="'d' is none of a, b, c"):
        load([str(tmp_path)], skills=["d"])


def test_the_bundled_suite_has_two_hundred_items_of_every_skill() -> None:
    counts = Counter(item.skill for item in load(["bundled"]))
    assert len(counts) > 1
    assert min(counts.values()) >= 200


def test_gsm8k_asks_for_the_number_behind_the_marks(tmp_path: Path) -> None:
    answer = "She sells 9.\nThat makes <<9*2=18>>18.\n#### 1,018"
    path = suite(tmp_path / "test.jsonl", {"question": "How much?", "answer": answer})
    [item] = load([f"gsm8k={path}"])
    assert (item.skill, item.expected, item.matcher) == ("gsm8k", "1,018", Matcher.NUMBER)
    assert item.question.startswith("How much?\n\n")
    assert "Answer: N" in item.question


@pytest.mark.parametrize(("field", "answer"), [("problem", "073"), ("question", 73)])
def test_aime_takes_both_spellings(tmp_path: Path, field: str, answer: object) -> None:
    path = suite(tmp_path / "aime.jsonl", {field: "Find n.", "answer": answer, "year": 2025})
    [item] = load([f"aime={path}"])
    assert (item.skill, int(item.expected), item.matcher) == ("aime", 73, Matcher.NUMBER)


def test_gpqa_lists_the_options_in_an_order_of_its_own(tmp_path: Path) -> None:
    wrong = {f"Incorrect Answer {number}": f"wrong {number}" for number in (1, 2, 3)}
    lines = [
        {"Question": f"Which, {number}?", "Correct Answer": "right\n", **wrong}
        for number in range(20)
    ]
    path = suite(tmp_path / "gpqa.jsonl", *lines)
    items = load([f"gpqa={path}"])
    assert {item.expected for item in items} == set("ABCD")
    for item in items:
        assert f"\n{item.expected}) right\n" in item.question
        assert all(f") wrong {number}\n" in item.question for number in (1, 2, 3))
    assert load([f"gpqa={path}"]) == items


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("gsm8k", {"question": "How much?", "answer": "18"}, "1: answer: does not end with ####"),
        ("gsm8k", {"answer": "#### 18"}, "1: question: is missing"),
        ("aime", {"problem": "Find n.", "answer": "n"}, "1: answer: 'n' is not a whole number"),
        (
            "gpqa",
            {"question": "Which?", "correct_answer": "a"},
            "1: incorrect_answer_1: is missing",
        ),
    ],
)
def test_a_public_suite_of_another_form_is_refused(
    tmp_path: Path, name: str, line: object, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        load([f"{name}={suite(tmp_path / 'test.jsonl', line)}"])
