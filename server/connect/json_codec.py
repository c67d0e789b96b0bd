"""Messages of the contract as JSON: strict with what comes in, short in what goes out."""

from __future__ import annotations

from typing import TypeVar

from connectrpc.codec import Codec
from google.protobuf import json_format
from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)


class JsonCodec(Codec[Message, MessageT]):
    """Protobuf's JSON mapping, with names of the contract or in camel case."""

    def name(self) -> str:
        return "json"

    def encode(self, message: Message) -> bytes:
        # A draft has a line for each of its tokens otherwise.
        return json_format.MessageToJson(message, indent=None).encode()

    def decode(self, data: bytes | bytearray, message_class: type[MessageT]) -> MessageT:
        """Raises ParseError for text that is no such message, unknown fields included: nothing in
        a request is silently ignored."""
        message = message_class()
        json_format.Parse(bytes(data), message)
        return message
