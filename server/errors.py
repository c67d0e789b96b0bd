"""The one table from errors to statuses, and the one way a call ends with one. Knows no transport.

A status is google.rpc's, which gRPC and Connect both speak: a code, a message and details. These
are ErrorInfo always, BadRequest where a field is to blame, RetryInfo where it is worth trying
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from palimpsest.engine.api import (
    CheckpointError,
    DoesNotFit,
    EngineError,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PromptTooLong,
    Unsupported,
)
from palimpsest.server.call import Call
from palimpsest.server.keys import Unauthenticated
from palimpsest.server.logs import figures

log = logging.getLogger(__name__)

DOMAIN = "palimpsest"


class Refused(Exception):
    """A call has ended with `status`, and a transport has to say so."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means to the caller."""

    code: code_pb2.Code
    reason: str


TABLE: Mapping[type[Exception], Verdict] = {
    Unauthenticated: Verdict(code_pb2.UNAUTHENTICATED, "INVALID_API_KEY"),
    InvalidRequest: Verdict(code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST"),
    PromptTooLong: Verdict(code_pb2.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED"),
    Unsupported: Verdict(code_pb2.UNIMPLEMENTED, "UNSUPPORTED"),
    ModelNotFound: Verdict(code_pb2.NOT_FOUND, "MODEL_NOT_FOUND"),
    Overloaded: Verdict(code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    EngineStopped: Verdict(code_pb2.UNAVAILABLE, "ENGINE_STOPPED"),
    CheckpointError: Verdict(code_pb2.FAILED_PRECONDITION, "CHECKPOINT_UNUSABLE"),
    DoesNotFit: Verdict(code_pb2.FAILED_PRECONDITION, "DOES_NOT_FIT"),
    EngineError: Verdict(code_pb2.INTERNAL, "ENGINE_FAILED"),
    TimeoutError: Verdict(code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
}
DEADLINE_SLACK_S = 0.05
"""A caller's clock has run since before its request arrived, so it ends the call before ours."""
MOST_BYTES = 600
"""Of each text of a refusal, which may quote what came. All of it travels in HTTP/2 trailers, where
such a byte may take three; clients take 8 KiB of them, and make another error of more."""
UNKNOWN_FAILURE = Verdict(code_pb2.INTERNAL, "INTERNAL")


@contextlib.contextmanager
def ending(call: Call) -> Iterator[None]:
    """Around the body of every handler, streams included: it is for callers who may call, and
    whatever happens, the call ends.

    Raises Refused in place of whatever went wrong; a caller who left is not answered.
    """
    try:
        call.let_in()
        yield
    except (EngineError, TimeoutError, Unauthenticated) as error:
        raise _refused(call, TABLE[type(error)], error) from error
    except (asyncio.CancelledError, GeneratorExit):
        # A stream that waits for its reader ends in GeneratorExit instead of CancelledError.
        in_time = call.remaining_s() > DEADLINE_SLACK_S
        call.end("CANCELLED" if in_time else "DEADLINE_EXCEEDED")
        raise
    except Exception as error:
        log.exception("a request failed", extra=figures(request_id=call.request_id))
        failure = EngineError("the server failed; its log says why")
        raise _refused(call, UNKNOWN_FAILURE, failure) from error
    else:
        call.end("OK")


def _refused(call: Call, verdict: Verdict, error: Exception) -> Refused:
    call.end(code_pb2.Code.Name(verdict.code))
    message = str(error)
    if verdict.code == code_pb2.INTERNAL:
        message = f"{message} (request {call.request_id})"
    found = [_packed(detail) for detail in details(verdict, error, call.request_id)]
    return Refused(status_pb2.Status(code=verdict.code, message=_cut(message), details=found))


def _cut(text: str) -> str:
    told = text.encode()[:MOST_BYTES].decode(errors="ignore")
    return text if len(told) == len(text) else f"{told}…"


def details(verdict: Verdict, error: Exception, request_id: str) -> list[Message]:
    """The google.rpc details of a refusal."""
    metadata = {"request_id": request_id}
    found: list[Message] = []
    if isinstance(error, InvalidRequest | Unsupported):
        metadata["field"] = _cut(error.field)
        reason = error.reason if isinstance(error, InvalidRequest) else str(error)
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.field), description=_cut(reason)
        )
        found.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded | EngineStopped):
        found.append(_retry_after(error.retry_after_s))
    info = error_details_pb2.ErrorInfo(reason=verdict.reason, domain=DOMAIN, metadata=metadata)
    return [info, *found]


def _retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(round(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
