"""What both clients hold: where to call, with what, and for how long. Knows no kind of call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import grpc

from palimpsest.attempts import Attempts
from palimpsest.errors import invalid_field, sendable
from palimpsest.trace_context import trace_headers
from palimpsest.v1 import generation_pb2

API_KEY_VARIABLE = "PALIMPSEST_API_KEY"
Priority = Literal["low", "normal", "high"]

CHANNEL_OPTIONS = (
    # A window that grows by itself lets megabytes of old drafts queue up behind a slow reader; kept
    # small, the server notices, and sends the newest draft only.
    ("grpc.http2.bdp_probe", 0),
    # A whole answer of the longest length in one message.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.primary_user_agent", "palimpsest-python"),
    # gRPC by itself lets seconds pass before it looks again for a server that was not there.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a client calls, and what goes with every call."""

    address: str
    """`host:port`, or any other target that gRPC resolves, such as `unix:/run/palimpsest.sock`."""
    model: str = ""
    """Name of the model; empty is the server's default model."""
    share: str = ""
    """Whose share of the server calls are charged to; every share gets as much as any other while
    they compete."""
    priority: Priority = "normal"
    """How much of its share a call gets: four times the work of the next lower priority."""
    credentials: grpc.ChannelCredentials | None = None
    """None is plain text, without TLS."""
    api_key: str | None = field(default=None, repr=False)
    """What the server asks of its callers; empty is none, None the first of those that the variable
    PALIMPSEST_API_KEY holds, separated by commas."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of every call; an `authorization` wins over `api_key`, and a `traceparent` over that
    of the OpenTelemetry span that is current when a call is made."""
    timeout_s: float | None = None
    """Seconds a call may take, all of its tries together; None leaves it to the server."""
    retries: int = 3
    """How often in a row a call that ended in Unavailable is made again, 0 or more; a stream that
    comes further starts the count over."""

    def __post_init__(self) -> None:
        for name in ("address", "model", "share"):
            sendable(getattr(self, name), name)
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries} is not 0 or more")
        if self.priority not in get_args(Priority):
            raise ValueError(
                f"priority: {self.priority!r} is none of {', '.join(get_args(Priority))}"
            )

    @property
    def about(self) -> generation_pb2.GenerationInput:
        """What every request for an answer says besides what it asks."""
        return generation_pb2.GenerationInput(
            model=self.model,
            share=self.share,
            priority=generation_pb2.Priority.Value(f"PRIORITY_{self.priority.upper()}"),
        )

    def attempts(self, timeout_s: float | None, metadata: Mapping[str, str] | None) -> Attempts:
        """The tries of one call; its own values win over the connection's."""
        merged: dict[str, str] = {}
        for headers in (self._authorization(), trace_headers(), self.metadata, metadata or {}):
            merged |= {name.lower(): value for name, value in headers.items()}
        return Attempts(
            retries=self.retries,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            metadata=tuple(merged.items()),
        )

    def _authorization(self) -> dict[str, str]:
        key, source = self.api_key, "api_key"
        if key is None:
            key, source = os.environ.get(API_KEY_VARIABLE, ""), API_KEY_VARIABLE
            key = key.partition(",")[0].strip()
        if not (key.isascii() and key.isprintable()):
            # grpc would refuse it too, and show it
            raise invalid_field(source, "not all of it is printable ASCII")
        return {"authorization": f"Bearer {key}"} if key else {}
