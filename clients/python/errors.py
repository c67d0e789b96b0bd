"""Every way a call can fail, as a caller of this package sees it.

PalimpsestError
├── InvalidRequest       a value outside its bound, or input that does not fit the context
├── NotFound             the server serves no model of that name
├── Unimplemented        the field or method is in the contract, and not built in that server
├── AccessDenied         the server wants other credentials
├── Overloaded           the waiting queue is full; `retry_after_s` says when to come back
├── Unavailable          no server there, or it stopped under the request; safe to retry
├── DeadlineExceeded     the time limit of the call ran out
├── Cancelled            the call was closed by this side or by the server
├── ServerError          anything else the server reports; its fault, not yours
└── EmbeddedServerError  the server this process was to start did not come up
    └── ServerPartsMissing  it is not even installed

Knows gRPC status codes and google.rpc details; `translated()` is the only place that maps them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"


class PalimpsestError(Exception):
    """Base of everything this package raises on purpose. Its text is one readable line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One field the server could not accept."""

    field: str
    """Path of the field in the request, as in `sampling.temperature`."""
    description: str


class InvalidRequest(PalimpsestError):
    """The request can never succeed as it is. `violations` names the fields."""

    def __init__(self, message: str, violations: tuple[FieldViolation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


def invalid_field(field: str, description: str) -> InvalidRequest:
    """A refusal of one field, made on this side of the wire."""
    violation = FieldViolation(field=field, description=description)
    return InvalidRequest(f"{field}: {description}", (violation,))


def sendable(text: str, field: str) -> str:
    """`text` itself. Raises InvalidRequest where it is not all characters, which Python lets pass:
    bytes that are no UTF-8 are read as halves of surrogate pairs.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place = f"{text[error.start]!r} at {error.start}"
        raise invalid_field(field, f"{place} is no character; is it UTF-8?") from None
    return text


class NotFound(PalimpsestError):
    """The server serves no model of the name that was asked for."""


class Unimplemented(PalimpsestError):
    """The contract knows it, this server does not; the text names the field or the method."""


class AccessDenied(PalimpsestError):
    """The server did not accept the credentials of the call."""


class _Retriable(PalimpsestError):
    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """Seconds to wait before trying again, where the server said so."""


class Overloaded(_Retriable):
    """The server's waiting queue, or the caller's share of it, is full."""


class Unavailable(_Retriable):
    """Nobody answers at the address, or the server or its engine stopped under the request."""


class DeadlineExceeded(PalimpsestError):
    """The call's time limit ran out; the server has stopped working on it."""


class Cancelled(PalimpsestError):
    """The call ended because one side closed it."""


class ServerError(PalimpsestError):
    """The server failed in a way the caller cannot mend."""


class EmbeddedServerError(PalimpsestError):
    """The embedded server did not start; the text is the server's own last word."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        """What the server process ended with; 2 means that its arguments were wrong."""


class ServerPartsMissing(EmbeddedServerError):
    """Only the client is installed here."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns grpc's exceptions, of both its sync and its asyncio face, into this module's."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
    except grpc.FutureCancelledError as error:
        raise Cancelled("the connection was closed") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # grpc reports that the call was closed as if the task had been cancelled
        raise Cancelled("the call was closed") from error


@contextlib.contextmanager
def calling_again() -> Iterator[None]:
    """Around a call with the arguments of an earlier one: only a closed channel refuses it."""
    try:
        yield
    except (ValueError, grpc.aio.UsageError) as error:
        raise Cancelled("the connection was closed") from error


def from_rpc_error(error: grpc.RpcError) -> PalimpsestError:
    """The one table from status codes to errors."""
    code: grpc.StatusCode = error.code()  # type: ignore[attr-defined]
    message: str = error.details() or code.name.lower()  # type: ignore[attr-defined]
    details = _details(error.trailing_metadata() or ())  # type: ignore[attr-defined]
    match code:
        case (
            grpc.StatusCode.INVALID_ARGUMENT
            | grpc.StatusCode.OUT_OF_RANGE
            | grpc.StatusCode.FAILED_PRECONDITION
        ):
            return InvalidRequest(message, _violations(details))
        case grpc.StatusCode.NOT_FOUND:
            return NotFound(message)
        case grpc.StatusCode.UNIMPLEMENTED:
            return Unimplemented(message)
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return AccessDenied(message)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(message, _retry_after_s(details))
        case grpc.StatusCode.UNAVAILABLE:
            return Unavailable(message, _retry_after_s(details))
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(message)
        case grpc.StatusCode.CANCELLED:
            return Cancelled(message)
        case _:
            return ServerError(f"{code.name}: {message}")


def _details(metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    """The google.rpc.Status in the trailers; an empty one where there is none to be read."""
    status = status_pb2.Status()
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            # A damaged detail must not hide the status that carries it.
            with contextlib.suppress(DecodeError):
                status.ParseFromString(value)
    return status


def _violations(status: status_pb2.Status) -> tuple[FieldViolation, ...]:
    bad_request = error_details_pb2.BadRequest()
    return tuple(
        FieldViolation(field=violation.field, description=violation.description)
        for detail in status.details
        if detail.Unpack(bad_request)
        for violation in bad_request.field_violations
    )


def _retry_after_s(status: status_pb2.Status) -> float | None:
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            return retry.retry_delay.ToNanoseconds() / 1e9
    return None
