"""Between text and token ids: the checkpoint's own tokenizer and chat template. Loads no torch.

The template is code of whoever made the checkpoint, so it runs in the sandbox that transformers
gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jinja2.exceptions import SecurityError, TemplateError

from palimpsest.engine.errors import CheckpointError, InvalidRequest

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_FAILURES += (MemoryError, RecursionError)
"""What an expression inside a template may raise, besides the template's own errors."""


class TextCodec:
    """Tokenizer and chat template of a checkpoint folder.

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
        self._has_template = self._tokenizer.chat_template is not None
        known = self._tokenizer.get_vocab()
        bytes_of_characters = {known.get(f"<0x{byte:02X}>") for byte in range(256)}
        added = self._tokenizer.added_tokens_decoder
        self._partial = bytes_of_characters | {i for i, token in added.items() if token.special}

    @property
    def vocabulary_size(self) -> int:
        """Ids that the tokenizer knows."""
        return len(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of raw text as it is: nothing is added, special tokens in the text are recognised."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], **template_arguments: object
    ) -> list[int]:
        """Ids of a conversation in the template's format, ready for the model's next turn.

        Raises InvalidRequest with what the template refuses.
        """
        if not self._has_template:
            raise InvalidRequest(
                "prompt.chat", "the checkpoint has no chat template; send text or ids"
            )
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=True,
                **cast(dict[str, Any], template_arguments),
            )
        except SecurityError as refused:
            raise InvalidRequest("prompt.chat", f"the chat template tried: {refused}") from None
        except TemplateError as refused:
            raise InvalidRequest("prompt.chat.messages", str(refused)) from None
        except _FAILURES as failed:
            reason = f"the chat template failed on it: {type(failed).__name__}: {failed}"
            raise InvalidRequest("prompt.chat.messages", reason) from None
        # the template writes <bos> itself
        return self.encode(cast(str, text))

    def is_partial(self, token_id: int) -> bool:
        """Whether what `token_id` shows may depend on the ids after it.

        Bytes of a character have tokens of their own, and a run of them is read as a whole; special
        tokens show nothing and do not end a run.
        """
        return token_id in self._partial

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, cut characters show as U+FFFD."""
        return cast(str, self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def detokenizer(self) -> Detokenizer:
        """For one answer that arrives in parts."""
        return Detokenizer(self)


class Detokenizer:
    """Turns parts of an answer into text that never has to be taken back.

    A character whose bytes straddle two parts is held until whatever follows it is known, so the
    pieces joined are exactly the text of all ids.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._ids: list[int] = []
        self._given = 0

    def push(self, token_ids: Iterable[int]) -> str:
        """Text that became final with these ids."""
        self._ids += token_ids
        settled = len(self._ids)
        while settled and self._codec.is_partial(self._ids[settled - 1]):
            settled -= 1
        text = self._codec.decode(self._ids[:settled])
        # tokenizers without tokens for bytes cut characters inside others
        return self._give(text, len(text.rstrip(_REPLACEMENT)))

    def finish(self) -> str:
        """What was held back to the end, cut characters as U+FFFD."""
        text = self._codec.decode(self._ids)
        return self._give(text, len(text))

    def _give(self, text: str, end: int) -> str:
        piece = text[self._given : end]
        self._given = max(self._given, end)
        return piece
