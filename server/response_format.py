"""From the form that a caller asks for to a constraint that the engine keeps. Knows no wire."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict

from palimpsest.engine.api import (
    Constraint,
    InvalidRequest,
    ModelInfo,
    PatternError,
    Submit,
    Transitions,
    Vocabulary,
    compile_pattern,
)
from palimpsest.server.exchange import Choices, Generation, JsonSchema, Regex, ResponseFormat
from palimpsest.server.prompts import ChatPrompt
from palimpsest.server.schemas import SchemaError, schema_pattern

FIELD = "sampling.response_format"
MAX_CHOICES = 1_024
_CACHED = 64


class ResponseFormats:
    """Makes constraints for one vocabulary, and keeps the last ones."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: OrderedDict[ResponseFormat, Constraint] = OrderedDict()

    async def constraint(self, wanted: Generation, form: ResponseFormat) -> Constraint:
        """Raises InvalidRequest."""
        if not self._vocabulary.pieces:
            reason = "is not supported: what this checkpoint's tokens write is not known by bytes"
            raise InvalidRequest(FIELD, reason)
        _refuse_beside(wanted)
        made = self._known.pop(form, None)
        if made is None:
            # a second at most: the construction is bounded
            made = await asyncio.to_thread(self._make, form)
        self._known[form] = made
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return made

    def _make(self, form: ResponseFormat) -> Constraint:
        field, pattern = _pattern(form)
        try:
            return Constraint.of(compile_pattern(pattern), self._vocabulary)
        except (PatternError, ValueError) as problem:
            raise InvalidRequest(field, str(problem)) from None


def refuse_endless(
    submit: Submit, constraint: Constraint, vocabulary: Vocabulary, model: ModelInfo
) -> None:
    """Raises InvalidRequest if the answer, or what is left of it, cannot be of its form in time."""
    form = Transitions(
        constraint, vocabulary, end_ids=model.end_token_ids, thinking=submit.thinking
    )
    state = form.after(form.start, submit.committed_ids)
    if state == form.nowhere:
        reason = "are not the beginning of an answer that sampling.response_format allows"
        raise InvalidRequest("resume.committed_token_ids", reason)
    most, needed = submit.sampling.max_output_tokens, int(form.needed[state])
    if len(submit.committed_ids) + needed > most:
        raise InvalidRequest(
            "sampling.max_output_tokens",
            f"{most} is below {len(submit.committed_ids) + needed}, the tokens of the shortest "
            "answer that response_format allows and its end",
        )


def _pattern(wanted: ResponseFormat) -> tuple[str, str]:
    """The field that says it, and the expression that the text has to match."""
    match wanted:
        case Regex(pattern=pattern):
            return f"{FIELD}.regex", pattern
        case Choices(texts=texts):
            field = f"{FIELD}.choices.texts"
            if not 1 <= len(texts) <= MAX_CHOICES:
                raise InvalidRequest(field, f"{len(texts)} texts are outside 1 to {MAX_CHOICES}")
            for index, text in enumerate(texts):
                if not text or text in texts[:index]:
                    what = "is empty" if not text else f"{text!r} is there before"
                    raise InvalidRequest(f"{field}[{index}]", what)
            return field, "|".join(map(re.escape, texts))
        case JsonSchema(text=text):
            field = f"{FIELD}.json_schema"
            try:
                return field, schema_pattern(text)
            except SchemaError as problem:
                raise InvalidRequest(field, str(problem)) from None


def _refuse_beside(wanted: Generation) -> None:
    """What would end, ban or lay down text that the form needs otherwise."""
    canvas, prompt = wanted.canvas, wanted.prompt
    beside = {
        "prompt.chat.tools": isinstance(prompt, ChatPrompt) and prompt.tools,
        "sampling.stop_sequences": wanted.stop_sequences,
        "sampling.stop_token_ids": wanted.sampling.get("stop_token_ids"),
        "sampling.banned_token_ids": wanted.sampling.get("banned_token_ids"),
        "sampling.allowed_token_ids": wanted.sampling.get("allowed_token_ids"),
        "canvas.template": canvas.template,
        "canvas.pinned_positions": canvas.pinned_positions,
    }
    for field, value in beside.items():
        if value:
            raise InvalidRequest(field, "cannot be together with sampling.response_format")
