"""A caller's span is the parent of the server's: real clients, a real server, a real receiver."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer
from otlp_receiver import Receiver, receiving

from palimpsest import AsyncClient, Client
from palimpsest.embedded import EmbeddedServer
from palimpsest.trace_context import trace_headers

PROMPT = "reverse the word: canvas"


@pytest.fixture(scope="module")
def receiver_and_endpoint() -> Iterator[tuple[Receiver, str]]:
    with receiving() as both:
        yield both


@pytest.fixture(scope="module")
def receiver(receiver_and_endpoint: tuple[Receiver, str]) -> Receiver:
    return receiver_and_endpoint[0]


@pytest.fixture(scope="module")
def address(receiver_and_endpoint: tuple[Receiver, str]) -> Iterator[str]:
    """Of a server that sends its spans to the receiver."""
    _, endpoint = receiver_and_endpoint
    flags = ["--threads", "1", "--otlp-traces-endpoint", endpoint, "--trace-detail", "request"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with EmbeddedServer(arguments=flags) as server:
            yield server.address


@pytest.fixture
def tracer(receiver_and_endpoint: tuple[Receiver, str]) -> Iterator[Tracer]:
    """The application's own, which sends to the same receiver."""
    provider = TracerProvider(shutdown_on_exit=False)
    _, endpoint = receiver_and_endpoint
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    yield provider.get_tracer("application")
    provider.shutdown()


def test_the_servers_spans_are_children_of_the_callers(
    address: str, receiver: Receiver, tracer: Tracer
) -> None:
    with Client(address) as client:
        with tracer.start_as_current_span("whole"):
            client.generate(PROMPT, seed=7)
        with tracer.start_as_current_span("streamed"):
            list(client.stream(PROMPT, seed=7))
    for name in ("whole", "streamed"):
        assert_answered_below(receiver, name)


async def test_the_asyncio_client_names_the_callers_span_too(
    address: str, receiver: Receiver, tracer: Tracer
) -> None:
    async with AsyncClient(address) as client:
        with tracer.start_as_current_span("whole, asyncio"):
            await client.generate(PROMPT, seed=7)
        with tracer.start_as_current_span("streamed, asyncio"):
            async with client.stream(PROMPT, seed=7) as stream:
                async for _ in stream:
                    pass
    for name in ("whole, asyncio", "streamed, asyncio"):
        assert_answered_below(receiver, name)


def assert_answered_below(receiver: Receiver, name: str) -> None:
    """That a span of the server is a child of the caller's of this name, and began within it."""
    caller = receiver.wait_for(lambda span: span.name == name)
    server = receiver.wait_for(lambda span: span.parent_span_id == caller.span_id)
    assert server.trace_id == caller.trace_id
    assert server.kind == Span.SPAN_KIND_SERVER
    assert caller.start_time_unix_nano <= server.start_time_unix_nano
    assert server.start_time_unix_nano <= caller.end_time_unix_nano


def test_without_a_span_no_trace_is_named() -> None:
    assert trace_headers() == {}


def test_a_program_without_opentelemetry_does_not_load_it() -> None:
    program = """
import sys
from palimpsest import Client
with Client("127.0.0.1:1", retries=0) as client:
    try:
        client.generate("a", timeout_s=5.0)
    except Exception as error:
        print(type(error).__name__)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[:2] == ["Unavailable", "[]"]
