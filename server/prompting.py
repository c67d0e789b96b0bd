"""From a prompt to the token ids that the model reads. Knows the codec, no wire format."""

from __future__ import annotations

from typing import Any

from palimpsest.engine.api import InvalidRequest, ModelInfo, TextCodec
from palimpsest.server.prompts import (
    ChatMessage,
    ChatPrompt,
    Content,
    ImagePart,
    Json,
    Prompt,
    SeenImage,
    TextPrompt,
    TokenPrompt,
    Tool,
    ToolCall,
)


def encode(
    prompt: Prompt, codec: TextCodec, model: ModelInfo, *, template_defaults: Json
) -> tuple[int, ...]:
    """Token ids of `prompt`, one for each image and video. `template_defaults` are variables of the
    chat template that the prompt may override.

    Raises InvalidRequest, with field paths that start at `prompt`.
    """
    match prompt:
        case TokenPrompt(token_ids=ids):
            return _known(ids, model)
        case TextPrompt(text=text):
            ids = codec.encode(text)
        case ChatPrompt():
            _check_template(prompt, codec)
            messages = [_message(message) for message in prompt.messages]
            tools = [_tool(tool) for tool in prompt.tools]
            variables = {**template_defaults, **_variables(prompt)}
            ids = codec.encode_chat(messages, tools=tools, **variables)
    if not ids:
        raise InvalidRequest("prompt", "has no tokens")
    return tuple(ids)


def _known(token_ids: tuple[int, ...], model: ModelInfo) -> tuple[int, ...]:
    highest = max(token_ids)
    if highest >= model.vocabulary_size:
        raise InvalidRequest(
            "prompt.tokens.token_ids", f"{highest} is outside 0 to {model.vocabulary_size - 1}"
        )
    return token_ids


def _variables(prompt: ChatPrompt) -> dict[str, Any]:
    if prompt.enable_thinking is None:
        return dict(prompt.template_kwargs)
    return {**prompt.template_kwargs, "enable_thinking": prompt.enable_thinking}


def _check_template(prompt: ChatPrompt, codec: TextCodec) -> None:
    """Refuses what the checkpoint's template would silently leave out."""
    if not codec.has_template:
        return
    wanted = {f"template_kwargs.{name}": name for name in prompt.template_kwargs}
    if prompt.tools:
        wanted["tools"] = "tools"
    if prompt.enable_thinking:
        wanted["enable_thinking"] = "enable_thinking"
    for field, name in wanted.items():
        if not codec.template_mentions(name):
            reason = f"the checkpoint's chat template has no variable {name!r}"
            raise InvalidRequest(f"prompt.chat.{field}", reason)


# Chat templates read dictionaries as transformers documents them.


def _message(message: ChatMessage) -> dict[str, Any]:
    content = {"role": message.role, "content": _content(message.content)}
    if message.thought:
        content["reasoning_content"] = message.thought
    if message.tool_calls:
        content["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.answers is not None:
        content |= {"tool_call_id": message.answers.id, "name": message.answers.name}
    return content


def _content(content: str | Json | Content) -> str | Json | list[dict[str, str]]:
    if not isinstance(content, tuple):
        return content
    return [_part(part) for part in content]


def _part(part: object) -> dict[str, str]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case ImagePart() | SeenImage():
            return {"type": "image"}
        case _:
            return {"type": "video"}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.response is not None:
        function["response"] = tool.response
    return {"type": "function", "function": function}
