"""The one table from engine errors to gRPC statuses, and the one way a handler ends with a status.

Details are google.rpc's: ErrorInfo always, BadRequest where a field is to blame, RetryInfo where it
is worth trying again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from palimpsest.engine.api import (
    CheckpointError,
    DoesNotFit,
    EngineError,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from palimpsest.server.call import Call

log = logging.getLogger(__name__)

DOMAIN = "palimpsest"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means to the caller."""

    code: grpc.StatusCode
    reason: str


TABLE: Mapping[type[Exception], Verdict] = {
    InvalidRequest: Verdict(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    Unsupported: Verdict(grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED"),
    ModelNotFound: Verdict(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    Overloaded: Verdict(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    EngineStopped: Verdict(grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED"),
    CheckpointError: Verdict(grpc.StatusCode.FAILED_PRECONDITION, "CHECKPOINT_UNUSABLE"),
    DoesNotFit: Verdict(grpc.StatusCode.FAILED_PRECONDITION, "DOES_NOT_FIT"),
    EngineError: Verdict(grpc.StatusCode.INTERNAL, "ENGINE_FAILED"),
    TimeoutError: Verdict(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
}
DEADLINE_SLACK_S = 0.05
"""A caller's clock has run since before its request arrived, so it ends the call before ours."""
UNKNOWN_FAILURE = Verdict(grpc.StatusCode.INTERNAL, "INTERNAL")


@contextlib.asynccontextmanager
async def reply_with_status(context: grpc.aio.ServicerContext, call: Call) -> AsyncIterator[None]:
    """Around the body of every handler, streams included: whatever happens, there is a status."""
    try:
        yield
    except (EngineError, TimeoutError) as error:
        await _refuse(context, call, TABLE[type(error)], error)
    except (asyncio.CancelledError, GeneratorExit):
        # A stream that waits for its reader ends in GeneratorExit instead of CancelledError.
        remaining_s = context.time_remaining()
        in_time = remaining_s is None or remaining_s > DEADLINE_SLACK_S
        call.end("CANCELLED" if in_time else "DEADLINE_EXCEEDED")
        raise
    except Exception:
        log.exception("request_id=%s failed", call.request_id)
        failure = EngineError("the server failed; its log says why")
        await _refuse(context, call, UNKNOWN_FAILURE, failure)
    else:
        call.end("OK")


async def _refuse(
    context: grpc.aio.ServicerContext, call: Call, verdict: Verdict, error: Exception
) -> None:
    call.end(verdict.code.name)
    message = str(error)
    if verdict.code is grpc.StatusCode.INTERNAL:
        message = f"{message} (request {call.request_id})"
    status = status_pb2.Status(
        code=verdict.code.value[0],
        message=message,
        details=[_packed(detail) for detail in details(verdict, error, call.request_id)],
    )
    await context.abort_with_status(rpc_status.to_status(status))


def details(verdict: Verdict, error: Exception, request_id: str) -> list[Message]:
    """The google.rpc details of a refusal."""
    metadata = {"request_id": request_id}
    found: list[Message] = []
    if isinstance(error, InvalidRequest | Unsupported):
        metadata["field"] = error.field
        reason = error.reason if isinstance(error, InvalidRequest) else str(error)
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=reason
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
