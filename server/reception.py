"""How a call is accepted, whatever carries it: its caller, its id, its time limit and its trace."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from google.protobuf.message import Message

from palimpsest.server import convert
from palimpsest.server.call import Call
from palimpsest.server.keys import Keys
from palimpsest.server.metrics import Metrics
from palimpsest.server.tracing import TRACE_HEADERS, RequestTrace, Tracing
from palimpsest.v1 import decide_pb2, generation_pb2, service_pb2

SERVICE = service_pb2.DESCRIPTOR.services_by_name["DiffusionService"].full_name


class Reception:
    """Makes a `Call` of every request; one for all transports."""

    def __init__(
        self,
        *,
        max_request_s: float,
        tracing: Tracing | None,
        keys: Keys | None,
        metrics: Metrics | None,
    ) -> None:
        """`max_request_s` bounds every call, also those without a deadline of their own; without
        `keys` anyone may call."""
        self._max_request_s = max_request_s
        self._tracing = tracing
        self._keys = keys
        self._metrics = metrics

    def accept(
        self,
        method: str,
        *,
        request_id: str,
        remaining_s: float | None,
        headers: Mapping[str, str],
        carrier: str,
    ) -> Call:
        """`method` is the full name of what is called, as the log shows it.

        `request_id` is the caller's; one that is empty or cannot be logged is replaced.
        `remaining_s` are the seconds to the caller's deadline. `headers`, whose names are in lower
        case, hold the caller's key and trace. `carrier` is one of those in tracing.py. Whoever may
        not call gets a Call too, and is refused when it begins.
        """
        usable = request_id and convert.is_request_id(request_id)
        time_limit_s = self._max_request_s if remaining_s is None else remaining_s
        return Call(
            method=method,
            request_id=request_id if usable else uuid.uuid4().hex,
            time_limit_s=min(time_limit_s, self._max_request_s),
            trace=self._trace(headers, carrier),
            metrics=self._metrics,
            refusal=None if self._keys is None else self._keys.refusal(headers),
        )

    def _trace(self, headers: Mapping[str, str], carrier: str) -> RequestTrace | None:
        if self._tracing is None:
            return None
        return RequestTrace(self._tracing, _traced(headers), carrier=carrier)


def method_name(name: str) -> str:
    """The full name of a method of the contract."""
    return f"{SERVICE}/{name}"


def request_id_of(request: Message) -> str:
    """The caller's name for a request of the contract; empty where there is none."""
    match request:
        case generation_pb2.StreamGenerateRequest() | generation_pb2.GenerateRequest():
            return request.input.request_id
        case decide_pb2.DecideRequest():
            return request.request_id
        case _:
            return ""


def _traced(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in TRACE_HEADERS if name in headers}
