"""From a prompt to the events of its answer: admission, tokens in, tokens out, text. The path of a
request, the same for every transport.

Knows no wire format and no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace

from palimpsest.engine.api import (
    CanvasPlan,
    Constraint,
    InvalidRequest,
    ModelInfo,
    ModelNotFound,
    PromptTooLong,
    Sampling,
    Submit,
    TextCodec,
    refuse_unknown_tokens,
)
from palimpsest.server.answer import AnswerWriter
from palimpsest.server.call import Call
from palimpsest.server.candidates import candidate_seed, check_count, one_stream
from palimpsest.server.canvas_control import plan
from palimpsest.server.exchange import AnswerEvent, Generation, PreviewMode
from palimpsest.server.expansion import PromptTokens, expand
from palimpsest.server.gate import Gate
from palimpsest.server.media.looking import Looker
from palimpsest.server.prompting import encode
from palimpsest.server.prompts import ChatPrompt, Json, Prompt
from palimpsest.server.response_format import ResponseFormats, refuse_endless
from palimpsest.server.resuming import committed_tokens, refuse_ended, refuse_stopped
from palimpsest.server.stopping import check_sequences
from palimpsest.server.supervisor import Supervisor
from palimpsest.server.thinking import thinking


class Generator:
    """Answers prompts with the engine's model."""

    def __init__(
        self,
        engine: Supervisor,
        gate: Gate,
        codec: asyncio.Future[TextCodec],
        looker: Looker,
        *,
        template_defaults: Json,
    ) -> None:
        """`codec` may still be loading; `template_defaults` are under each prompt's own."""
        self._engine = engine
        self._gate = gate
        self._codec = codec
        self._looker = looker
        self._template_defaults = template_defaults
        self._formats: ResponseFormats | None = None
        """Made for the first request that asks for one."""

    def model(self, name: str) -> ModelInfo:
        """The served model; an empty name means it. Raises ModelNotFound and EngineStopped."""
        model = self._engine.model
        if name and name != model.name:
            raise ModelNotFound(
                f"model {name!r} is not served here; this server has {model.name!r}"
            )
        return model

    async def count_tokens(self, name: str, prompt: Prompt, call: Call) -> int:
        """Tokens of `prompt` as `generate` would read it."""
        model = self.model(name)
        with self.hold(prompt):
            seen = await self.look(model, prompt, call)
        return len((await self.tokenise(model, seen)).ids)

    def hold(self, prompt: Prompt) -> contextlib.AbstractContextManager[None]:
        """Around the answer to a prompt. Raises Overloaded where the images and videos of others
        take too much memory."""
        return self._looker.hold(prompt)

    async def look(self, model: ModelInfo, prompt: Prompt, call: Call) -> Prompt:
        """The prompt with its images and videos seen, if it has any.

        Raises InvalidRequest, with field paths that start at `prompt`, Overloaded, and TimeoutError
        at the call's deadline.
        """
        async with asyncio.timeout_at(call.deadline_s):
            return await self._looker.look(prompt, model)

    async def tokenise(self, model: ModelInfo, prompt: Prompt) -> PromptTokens:
        """Tokens of a prompt that was looked at. Raises InvalidRequest, with field paths that start
        at `prompt`."""
        codec, defaults = await self.loaded_codec(), self._template_defaults

        def tokens() -> PromptTokens:
            ids = encode(prompt, codec, model, template_defaults=defaults)
            return expand(ids, prompt, codec)

        return await asyncio.to_thread(tokens)

    async def loaded_codec(self) -> TextCodec:
        """The codec, once it is loaded."""
        # Shielded: a caller who hangs up must not stop the loading.
        return await asyncio.shield(self._codec)

    async def generate(self, wanted: Generation, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        """The events of all answers to `wanted`. Closing the iterator frees the engine at its next
        step.

        Raises InvalidRequest (field paths start at `prompt`, `sampling`, `canvas` and `resume`),
        ModelNotFound, Overloaded, EngineStopped, and TimeoutError at the call's deadline.
        """
        model = self.model(wanted.model)
        sampling = _sampling(wanted, model)
        check_sequences(wanted.stop_sequences)
        check_count(wanted.candidate_count)
        committed = committed_tokens(wanted, model)
        places = self._places(wanted.candidate_count)
        with self._gate.enter(), self.hold(wanted.prompt), places as request_ids:
            submit = await self._submit(wanted, model, sampling, committed, call)
            operation = "chat" if isinstance(wanted.prompt, ChatPrompt) else "text_completion"
            prompt_tokens = len(submit.prompt_ids)
            call.describe(operation=operation, model=model, prompt_tokens=prompt_tokens)
            answers = [
                self._answer(wanted, one, model, call) for one in _candidates(submit, request_ids)
            ]
            events = answers[0] if len(answers) == 1 else one_stream(answers, sampling.seed)
            async with contextlib.aclosing(events):
                async for event in events:
                    yield event

    async def _submit(
        self,
        wanted: Generation,
        model: ModelInfo,
        sampling: Sampling,
        committed: tuple[int, ...],
        call: Call,
    ) -> Submit:
        """What the engine is asked for, under an id that each candidate replaces by its own."""
        codec, preview = await self.loaded_codec(), wanted.preview
        prompt = await self.tokenise(model, await self.look(model, wanted.prompt, call))
        prompt_ids = prompt.ids
        constraint = await self._constraint(wanted, codec)
        sampling = _within_context(sampling, model, prompt)
        canvas = await asyncio.to_thread(plan, wanted.canvas, codec, model, sampling)
        narrowed = replace(model, canvas_length=canvas.canvas_length or model.canvas_length)
        if constraint is not None:
            sampling = _whole_canvases(sampling, canvas, narrowed, prompt_tokens=len(prompt_ids))
        refuse_ended(committed, sampling, narrowed, prompt_tokens=len(prompt_ids))
        submit = Submit(
            request_id=0,
            name=call.request_id,
            prompt_ids=prompt_ids,
            pictures=prompt.pictures,
            sampling=sampling,
            drafts=preview is not None and preview.mode is not PreviewMode.METADATA,
            committed_ids=committed,
            share=wanted.share,
            priority=wanted.priority,
            canvas=canvas,
            thinking=thinking(
                wanted, prompt_ids, codec, sampling, template_defaults=self._template_defaults
            ),
            constraint=constraint,
        )
        if constraint is not None:
            refuse_endless(submit, constraint, codec.vocabulary, model)
        return submit

    async def _constraint(self, wanted: Generation, codec: TextCodec) -> Constraint | None:
        if wanted.response_format is None:
            return None
        if self._formats is None:
            self._formats = ResponseFormats(await asyncio.to_thread(lambda: codec.vocabulary))
        return await self._formats.constraint(wanted, wanted.response_format)

    @contextlib.contextmanager
    def _places(self, count: int) -> Iterator[list[int]]:
        """A place in the queue for each candidate, or for none. Raises as Supervisor.admit."""
        with contextlib.ExitStack() as places:
            yield [places.enter_context(self._engine.admit()) for _ in range(count)]

    async def _answer(
        self, wanted: Generation, submit: Submit, model: ModelInfo, call: Call
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer, up to its end or its first stop sequence."""
        record, preview = call.answer(), wanted.preview
        writer = AnswerWriter(wanted, submit, model, record, await self.loaded_codec())
        refuse_stopped(writer.stop_sequence)
        with self._engine.submit(
            submit,
            pace=None if preview is None else preview.pace,
            deadline_s=call.deadline_s,
            observe=record.observe,
        ) as mailbox:
            try:
                async for delivery in mailbox:
                    yield writer.write(delivery)
                    if writer.stop_sequence is not None:
                        yield writer.stop(delivery)
                        return
            finally:
                record.drafts(sent=mailbox.drafts_sent, skipped=mailbox.drafts_skipped)


def _sampling(wanted: Generation, model: ModelInfo) -> Sampling:
    """The checkpoint's settings under the caller's; an unset seed is drawn."""
    chosen = {"seed": secrets.randbits(64), **wanted.sampling}
    try:
        sampling = replace(model.defaults, **chosen)  # type: ignore[arg-type]
        refuse_unknown_tokens(sampling, model.vocabulary_size)
        return sampling
    except InvalidRequest as error:
        raise error.under("sampling") from None


def _candidates(submit: Submit, request_ids: Sequence[int]) -> Iterator[Submit]:
    """The same request under each id, each with a seed of its own."""
    for index, request_id in enumerate(request_ids):
        seed = candidate_seed(submit.sampling.seed, index)
        sampling = replace(submit.sampling, seed=seed)
        yield replace(submit, request_id=request_id, sampling=sampling, candidate_index=index)


def _within_context(sampling: Sampling, model: ModelInfo, prompt: PromptTokens) -> Sampling:
    """An answer ends with the context at the latest. Raises InvalidRequest if no canvas fits."""
    room = model.max_context_tokens - len(prompt.ids)
    if room < model.canvas_length:
        pictures = f", {prompt.picture_count} of them of pictures," if prompt.pictures else ""
        raise PromptTooLong(
            "prompt",
            f"{len(prompt.ids)} tokens{pictures} and one canvas of {model.canvas_length} are more "
            f"than the context of {model.max_context_tokens} tokens",
        )
    return replace(sampling, max_output_tokens=min(sampling.max_output_tokens, room))


def _whole_canvases(
    sampling: Sampling, canvas: CanvasPlan, model: ModelInfo, *, prompt_tokens: int
) -> Sampling:
    """An answer of a form has to end before the last canvas that finds room does."""
    length = model.canvas_length
    most = length if canvas.read_only else model.max_context_tokens - prompt_tokens
    most -= most % length
    return replace(sampling, max_output_tokens=min(sampling.max_output_tokens, most))
