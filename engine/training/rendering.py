"""Items as text: the prompt by the bundled model's own chat template, and what should follow it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from palimpsest.engine.training.items import Call, Item

TEMPLATE = Path(__file__).parent / "chat_template.jinja"
QUOTE = '<|"|>'


class Renderer:
    """Renders prompts. The template is read once."""

    def __init__(self) -> None:
        # the settings that transformers gives a chat template
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        self._template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))

    def prompt(self, item: Item) -> str:
        """The conversation so far, ready for the model's next turn."""
        return self._template.render(
            messages=item.messages,
            tools=list(item.tools) or None,
            enable_thinking=item.thinking,
            add_generation_prompt=True,
            bos_token="<bos>",
        )


def completion(item: Item) -> str:
    """What the model should write, its end token included."""
    thought = f"{item.thought}\n" if item.thought else ""
    thought = f"<|channel>thought\n{thought}<channel|>" if item.thinking else ""
    if item.call is not None:
        return thought + format_call(item.call) + "<|tool_response>"
    return thought + item.answer + "<turn|>"


def format_call(call: Call) -> str:
    """A tool call as Gemma 4 writes it, keys sorted."""
    return f"<|tool_call>call:{call.name}{_format(call.arguments)}<tool_call|>"


def _format(value: object) -> str:
    if isinstance(value, Mapping):
        members = (f"{key}:{_format(value[key])}" for key in sorted(value, key=str.lower))
        return "{" + ",".join(members) + "}"
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
