"""A status of google.rpc as Connect's error, which says the same in other types."""

from __future__ import annotations

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from google.rpc import code_pb2, status_pb2
from protobuf.wkt import Any as AnyMessage


def connect_error(status: status_pb2.Status) -> ConnectError:
    """With the code, the message and the details of `status`, which is not CANCELLED."""
    details = [
        ErrorDetail(AnyMessage(type_url=detail.type_url, value=detail.value))
        for detail in status.details
    ]
    # CANCELLED is the one name that differs; who cancelled a call is not answered.
    code = Code[code_pb2.Code.Name(status.code)]
    return ConnectError(code, status.message, details)
