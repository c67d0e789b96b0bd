"""What both clients hold: where to call, with what, and for how long. Knows no kind of call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import grpc

CHANNEL_OPTIONS = (
    # A window that grows by itself lets megabytes of old drafts queue up behind a slow reader; kept
    # small, the server notices, and sends the newest draft only.
    ("grpc.http2.bdp_probe", 0),
    # A whole answer of the longest length in one message.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.primary_user_agent", "palimpsest-python"),
)


class CallOptions(TypedDict):
    """The keyword arguments of every call of grpc."""

    timeout: float | None
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a client calls, and what goes with every call."""

    address: str
    """`host:port`, or any other target that gRPC resolves, such as `unix:/run/palimpsest.sock`."""
    model: str = ""
    """Name of the model; empty is the server's default model."""
    credentials: grpc.ChannelCredentials | None = None
    """None is plain text, without TLS."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Headers of every call, such as `authorization` or `traceparent`."""
    timeout_s: float | None = None
    """Seconds a call may take; None leaves it to the server."""

    def options(self, timeout_s: float | None, metadata: Mapping[str, str] | None) -> CallOptions:
        """What one call is made with; its own values win over the connection's."""
        merged = {**self.metadata, **(metadata or {})}
        return CallOptions(
            timeout=self.timeout_s if timeout_s is None else timeout_s,
            metadata=tuple((name.lower(), value) for name, value in merged.items()),
        )
