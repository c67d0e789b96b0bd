"""From the contract's names of fields to those of the body, so that a refusal names what was sent.

Pure functions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from palimpsest.engine.api import InvalidRequest, Unsupported
from palimpsest.server.openai.errors import api_error
from palimpsest.server.openai.sampling import DIFFUSION

_RULES = (
    (r"^input\.", ""),
    (r"^preview\.", "diffusion."),
    (r"^prompt\.chat\.enable_thinking$", "chat_template_kwargs.enable_thinking"),
    (r"^prompt\.chat\.template_kwargs", "chat_template_kwargs"),
    (r"^prompt\.chat\.tools\[(\d+)\]\.", r"tools[\1].function."),
    (r"^prompt\.chat\.(messages|tools)", r"\1"),
    (r"^(messages\[\d+\])\.parts$", r"\1.content"),
    (r"^(messages\[\d+\])\.parts\[(\d+)\]\.(image|video).*", r"\1.content[\2].\3_url"),
    (r"^(messages\[\d+\])\.thought$", r"\1.reasoning_content"),
    (r"^(messages\[\d+\])\.tool_result\.name$", r"\1.name"),
    (r"^(messages\[\d+\])\.tool_result.*", r"\1.tool_call_id"),
    (r"^(messages\[\d+\]\.tool_calls\[\d+\])\.(name|arguments)", r"\1.function.\2"),
    (r"^sampling\.response_format.*", "response_format"),
    (rf"^sampling\.({'|'.join(DIFFUSION)})$", r"diffusion.\1"),
    (r"^sampling\.candidate_count$", "n"),
    (r"^sampling\.stop_sequences", "stop"),
    (r"^sampling\.effort$", "reasoning_effort"),
    (r"^sampling\.", ""),
)
"""Each is tried in turn on what the ones before it have made."""
_IN_REASONS = "sampling.response_format"
"""What a reason may name."""
Rules = tuple[tuple[str, str], ...]
"""Expressions, and what their matches become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What one body calls the fields that have more than one name."""

    prompt: str
    limit: str
    """Of `max_output_tokens`."""
    logprobs: str
    rules: Rules = ()
    """Tried after those that chat completions have."""

    def of(self, field: str) -> str:
        """The path in the body for a path in the contract."""
        for pattern, replacement in (*_RULES, *self.rules):
            field = re.sub(pattern, replacement, field)
        own = {"max_output_tokens": self.limit, "logprobs": self.logprobs}
        field = own.get(field, field)
        return re.sub(r"^prompt\b.*", self.prompt, field)


@contextlib.contextmanager
def named_as_sent(names: Names) -> Iterator[None]:
    """Refusals inside the block become ApiErrors in the names of the body."""
    try:
        yield
    except (InvalidRequest, Unsupported) as error:
        param = names.of(error.field)
        reason = str(error).removeprefix(f"{error.field}: ")
        reason = reason.replace(_IN_REASONS, names.of(_IN_REASONS))
        raise api_error(error, message=f"{param}: {reason}", param=param) from None
