"""From the server's errors to OpenAI's: status, type and code, and the one way that a call ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.rpc import code_pb2
from starlette.requests import ClientDisconnect

from palimpsest.engine.api import EngineError, EngineStopped, ModelNotFound, Overloaded
from palimpsest.server.call import Call
from palimpsest.server.errors import TABLE
from palimpsest.server.http.hangup import HungUp
from palimpsest.server.keys import Unauthenticated
from palimpsest.server.logs import figures
from palimpsest.server.openai.sending import Reply

log = logging.getLogger(__name__)

_STATUSES: Mapping[code_pb2.Code, int] = {
    code_pb2.INVALID_ARGUMENT: 400,
    # not 501: clients would send the same again
    code_pb2.UNIMPLEMENTED: 400,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.NOT_FOUND: 404,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DEADLINE_EXCEEDED: 504,
}
"""All others are 500."""
_SERVER_FAULT = 500


class ApiError(Exception):
    """An answer in the shape of OpenAI's errors."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        ended: str = "INVALID_ARGUMENT",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`param` is the member of the body that is to blame, `ended` a gRPC status name for log
        and trace."""
        super().__init__(message)
        self.status = status
        self.ended = ended
        self.headers = headers or {}
        self._code = code
        self._param = param

    def body(self) -> dict[str, Any]:
        if self.status >= _SERVER_FAULT:
            kind = "server_error"
        else:
            kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        described = {"message": str(self), "type": kind, "param": self._param, "code": self._code}
        return {"error": described}


def bad_member(path: str, reason: str, *, code: str = "invalid_request") -> ApiError:
    """A member of the body that cannot be."""
    return ApiError(400, f"{path}: {reason}", code=code, param=path)


def api_error(
    error: Exception, *, message: str | None = None, param: str | None = None
) -> ApiError:
    """One of errors.TABLE as clients of this API see it."""
    verdict = TABLE[type(error)]
    headers = {}
    if isinstance(error, ModelNotFound):
        param = "model"
    if isinstance(error, Overloaded | EngineStopped):
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, TimeoutError):
        # the same request would take as long again
        headers["x-should-retry"] = "false"
    return ApiError(
        _STATUSES.get(verdict.code, _SERVER_FAULT),
        message or str(error),
        code=verdict.reason.lower(),
        param=param,
        ended=code_pb2.Code.Name(verdict.code),
        headers=headers,
    )


@contextlib.asynccontextmanager
async def reply_with_error(reply: Reply, call: Call) -> AsyncIterator[None]:
    """Around the answering of every call: whatever happens, there is an answer and a log line."""
    try:
        yield
    except (HungUp, ClientDisconnect):
        call.end("CANCELLED")
    except ApiError as error:
        await _refuse(reply, call, error)
    except (EngineError, TimeoutError, Unauthenticated) as error:
        await _refuse(reply, call, api_error(error))
    except asyncio.CancelledError:
        # a client that hangs up is seen elsewhere
        if call.remaining_s() > 0:
            await _refuse(reply, call, api_error(EngineStopped("the server is shutting down")))
        elif reply.started:
            # nobody reads what could be told
            call.end("DEADLINE_EXCEEDED")
        else:
            await _refuse(reply, call, api_error(TimeoutError("the request did not come in time")))
    except Exception:
        log.exception("a request failed", extra=figures(request_id=call.request_id))
        await _refuse(reply, call, api_error(EngineError("the server failed; its log says why")))
    else:
        call.end("OK")


async def _refuse(reply: Reply, call: Call, error: ApiError) -> None:
    call.end(error.ended)
    if error.status == _SERVER_FAULT:
        error.args = (f"{error} (request {call.request_id})",)
    if reply.started:
        await reply.event(error.body())
        await reply.end()
    else:
        await reply.whole(error.body(), status=error.status, headers=error.headers)
