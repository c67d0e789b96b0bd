"""Between text and token ids: the checkpoint's own tokenizer and chat template. Loads no torch.

The template is code of whoever made the checkpoint, so it runs in the sandbox that transformers
gives it.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from jinja2.exceptions import SecurityError, TemplateError

from palimpsest.engine.errors import CheckpointError, InvalidRequest
from palimpsest.engine.structure.vocabulary import Vocabulary

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_FAILURES += (MemoryError, RecursionError)
"""What an expression inside a template may raise, besides the template's own errors."""


RESERVED_TEMPLATE_VARIABLES = frozenset(
    [
        "messages",
        "conversation",
        "conversations",
        "tools",
        "documents",
        "chat_template",
        "tokenize",
        "add_generation_prompt",
        "continue_final_message",
        "sanitize_control_tokens",
        "padding",
        "truncation",
        "max_length",
        "return_tensors",
        "return_dict",
        "return_assistant_tokens_mask",
        "tokenizer_kwargs",
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "cls_token",
        "mask_token",
        "additional_special_tokens",
        "raise_exception",
        "strftime_now",
        "namespace",
        "dict",
    ]
)
"""Names that callers may not give to a chat template: it gets them from elsewhere, or they would
steer its rendering from outside."""


class Marker(enum.Enum):
    """Tokens that divide an answer into its parts. The value is the token's text."""

    THOUGHT = "<|channel>"
    THOUGHT_END = "<channel|>"
    CALL = "<|tool_call>"
    CALL_END = "<tool_call|>"
    RESULT = "<|tool_response>"
    RESULT_END = "<tool_response|>"
    TURN = "<|turn>"
    TURN_END = "<turn|>"
    QUOTE = '<|"|>'
    """Around a string in a call."""


class TextCodec:
    """Tokenizer and chat template of a checkpoint folder; any thread may use it.

    Encoding waits for another thread that encodes, which is as long as its text; decoding does not.
    Raises CheckpointError when they cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        # Loaded here, because it takes seconds that a server spends better starting its engine.
        from transformers import PreTrainedTokenizerFast

        if not (folder / "tokenizer.json").is_file():
            raise CheckpointError(f"{folder / 'tokenizer.json'}: no such file")
        try:
            self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        except Exception as wrong:
            # whatever is wrong with the file, the library raises nothing more specific
            reason = " ".join(str(wrong).split())
            raise CheckpointError(f"{folder}: the tokenizer cannot be read: {reason}") from None
        # whether special tokens are recognised is a switch of the tokenizer that the library turns
        # for each text, and within a conversation more than once
        self._encoding = threading.Lock()
        self._has_template = self._tokenizer.chat_template is not None
        known = self._tokenizer.get_vocab()
        bytes_of_characters = {known.get(f"<0x{byte:02X}>") for byte in range(256)}
        added = self._tokenizer.added_tokens_decoder
        self._special = {i for i, token in added.items() if token.special}
        self._added = {token.content: i for i, token in added.items()}
        self._partial = bytes_of_characters | self._special
        self._markers = {known[m.value]: m for m in Marker if m.value in known}
        self._folder = folder

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token writes, in bytes."""
        return Vocabulary.of(self._folder)

    @property
    def vocabulary_size(self) -> int:
        """Ids that the tokenizer knows."""
        return len(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of raw text as it is: nothing is added, special tokens in the text are recognised."""
        with self._encoding:
            return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_plain(self, text: str) -> list[int]:
        """Ids of text in which special tokens are ordinary characters."""
        encode = self._tokenizer.encode
        with self._encoding:
            return encode(text, add_special_tokens=False, split_special_tokens=True)

    def token_id(self, text: str) -> int | None:
        """Of the added token that reads so; None where the tokenizer has none."""
        return self._added.get(text)

    @property
    def markers(self) -> Mapping[int, Marker]:
        """The markers by their ids; those that the tokenizer does not know are missing."""
        return self._markers

    @property
    def has_template(self) -> bool:
        """Whether conversations can be encoded."""
        return self._has_template

    def template_mentions(self, name: str) -> bool:
        """Whether the chat template can act on a variable of this name."""
        return name in str(self._tokenizer.chat_template)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        **template_arguments: object,
    ) -> list[int]:
        """Ids of a conversation in the template's format, ready for the model's next turn.

        Messages and tools are dictionaries as transformers' templates read them; the rest are
        variables of the template, none of them RESERVED_TEMPLATE_VARIABLES. Special tokens that
        any of it spells out are ordinary text. Raises InvalidRequest with what the template
        refuses.
        """
        if not self._has_template:
            raise InvalidRequest(
                "prompt.chat", "the checkpoint has no chat template; send text or ids"
            )
        self._refuse_special_names(messages, "prompt.chat.messages")
        self._refuse_special_names(tools, "prompt.chat.tools")
        self._refuse_special_names(template_arguments, "prompt.chat.template_kwargs")
        try:
            with self._encoding:
                ids = self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    tools=[dict(tool) for tool in tools] or None,
                    add_generation_prompt=True,
                    # a tool's result must not be able to end its turn
                    sanitize_control_tokens=True,
                    return_dict=False,
                    **cast(dict[str, Any], template_arguments),
                )
        except SecurityError as refused:
            raise InvalidRequest("prompt.chat", f"the chat template tried: {refused}") from None
        except TemplateError as refused:
            raise InvalidRequest("prompt.chat.messages", str(refused)) from None
        except _FAILURES as failed:
            reason = f"the chat template failed on it: {type(failed).__name__}: {failed}"
            raise InvalidRequest("prompt.chat.messages", reason) from None
        return cast(list[int], ids)

    def _refuse_special_names(self, value: object, field: str) -> None:
        """Values are made ordinary text on their way, names are not."""
        if isinstance(value, Mapping):
            for name, item in value.items():
                # nearly all are plain words, which are no special tokens
                if not name.isidentifier() and not self._special.isdisjoint(self.encode(name)):
                    raise InvalidRequest(field, f"the name {name!r} holds a special token")
                self._refuse_special_names(item, field)
        elif isinstance(value, list | tuple):
            for item in value:
                self._refuse_special_names(item, field)

    def is_partial(self, token_id: int) -> bool:
        """Whether what `token_id` shows may depend on the ids after it.

        Bytes of a character have tokens of their own, and a run of them is read as a whole; special
        tokens show nothing and do not end a run.
        """
        return token_id in self._partial

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, cut characters show as U+FFFD."""
        return cast(str, self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def decode_verbatim(self, token_ids: Iterable[int]) -> str:
        """As `decode`, with special tokens written out."""
        return cast(str, self._tokenizer.decode(list(token_ids), skip_special_tokens=False))

    def detokenizer(self) -> Detokenizer:
        """For one answer that arrives in parts."""
        return Detokenizer(self)


class Detokenizer:
    """Turns parts of an answer into text that never has to be taken back.

    A character whose bytes straddle two parts is held until whatever follows it is known, so the
    pieces joined are exactly the text of all ids. However long the answer, a part costs what it
    adds: of what was given, only as many ids are kept as what follows may be read with.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._ids: list[int] = []
        self._given = 0
        """Characters of the text of `_ids`."""

    def push(self, token_ids: Iterable[int]) -> str:
        """Text that became final with these ids."""
        self._ids += token_ids
        settled = len(self._ids)
        while settled and self._codec.is_partial(self._ids[settled - 1]):
            settled -= 1
        text = self._codec.decode(self._ids[:settled])
        # tokenizers without tokens for bytes cut characters inside others
        piece = self._give(text, len(text.rstrip(_REPLACEMENT)))
        if self._given == len(text):
            self._forget(settled)
        return piece

    def finish(self) -> str:
        """What was held back to the end, cut characters as U+FFFD."""
        text = self._codec.decode(self._ids)
        return self._give(text, len(text))

    def _give(self, text: str, end: int) -> str:
        piece = text[self._given : end]
        self._given = max(self._given, end)
        return piece

    def _forget(self, settled: int) -> None:
        """All of the settled ids but the last that show something. What follows is then not at the
        beginning of a text, where some tokenizers leave out a space.
        """
        start, text = settled, ""
        while start and (not text or self._codec.is_partial(self._ids[start])):
            start -= 1
            text = self._codec.decode(self._ids[start:settled])
        self._ids, self._given = self._ids[start:], len(text)
