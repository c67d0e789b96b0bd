"""Flags of `palimpsest serve`: what they are called, and how a wrong one is refused."""

from __future__ import annotations

import pytest

from palimpsest.server.config import parse, wants_traces


def test_without_flags_the_bundled_model_is_served_on_the_loopback_address() -> None:
    config = parse([])
    assert (config.engine.model, config.host, config.port) == ("bundled", "127.0.0.1", 50_051)


def test_http_is_on_its_own_port_unless_it_is_off() -> None:
    assert parse([]).http_port == 8_080
    assert parse(["--http-port", "0"]).http_port == 0
    assert parse(["--http-port", "off"]).http_port is None


def test_pages_of_several_origins_may_call() -> None:
    config = parse(["--cors-origin", "https://a.example", "--cors-origin", "*"])
    assert config.cors_origin == ["https://a.example", "*"]


def test_flags_are_called_as_vllm_calls_them() -> None:
    model = "--model /models/x --served-model-name x --max-model-len 4096 --max-num-seqs 8"
    device = "--gpu-memory-utilization 0.5 --dtype bfloat16"
    chat = ["--default-chat-template-kwargs", '{"enable_thinking": true}']
    config = parse([*f"{model} {device} --host 0.0.0.0 --no-auth --port 0".split(), *chat])
    assert config.default_chat_template_kwargs == {"enable_thinking": True}
    assert config.engine.model == "/models/x"
    assert config.engine.served_model_name == "x"
    assert config.engine.max_model_len == 4096
    assert config.engine.max_num_seqs == 8
    assert config.engine.gpu_memory_utilization == 0.5
    assert config.engine.dtype == "bfloat16"
    assert (config.host, config.port) == ("0.0.0.0", 0)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--port", "65536"], "--port: 65536 is not within 0 to 65535"),
        (["--port", "many"], "argument --port: invalid int value: 'many'"),
        (["--http-port", "65536"], "--http-port: 65536 is not within 0 to 65535"),
        (["--http-port", "on"], "argument --http-port: 'on' is neither a port nor 'off'"),
        (["--host", ""], "--host: '' is not an address"),
        (["--http-port", "-1"], "--http-port: -1 is not within 0 to 65535"),
        (
            ["--cors-origin", "https://a.example/app"],
            "--cors-origin: 'https://a.example/app' is not *, nor like https://a.example",
        ),
        (
            ["--host", "0.0.0.0"],
            "--host: 0.0.0.0 is reached from other machines, and there are no keys: set "
            "--api-key-file or PALIMPSEST_API_KEY, or --no-auth if anyone may call",
        ),
        (
            ["--api-key-file", "/nothing/here"],
            "--api-key-file: cannot read /nothing/here: No such file or directory",
        ),
        (["--max-queue", "-1"], "--max-queue: -1 is not within 0 to 100000"),
        (
            ["--max-request-seconds", "nan"],
            "--max-request-seconds: nan is not within 0.001 to 86400",
        ),
        (["--device", "tpu"], "--device: 'tpu' is not auto, cpu, cuda or cuda:N"),
        (["--modell", "x"], "unrecognized arguments: --modell x"),
        (
            ["--default-chat-template-kwargs", "[1]"],
            "argument --default-chat-template-kwargs: '[1]' is not a JSON object",
        ),
        (
            ["--default-chat-template-kwargs", '{"tools": []}'],
            "--default-chat-template-kwargs: 'tools' is set by the server",
        ),
        (
            ["--default-chat-template-kwargs", '{"enable_thinking": 1}'],
            "--default-chat-template-kwargs: enable_thinking: 1 is not true or false",
        ),
    ],
)
def test_a_wrong_flag_ends_with_code_2_and_one_line(
    flags: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(flags)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"palimpsest serve: error: {line}\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_need_no_keys(host: str) -> None:
    assert parse(["--host", host]).keys is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "a.example"])
def test_other_addresses_need_keys_or_leave_to_go_without(host: str) -> None:
    with pytest.raises(SystemExit):
        parse(["--host", host])
    assert parse(["--host", host, "--no-auth"]).keys is None
    assert parse(["--host", host], {"PALIMPSEST_API_KEY": "k"}).keys is not None


def test_keys_and_leave_to_go_without_them_contradict_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse(["--no-auth"], {"PALIMPSEST_API_KEY": "k"})
    assert "--no-auth: cannot be with keys" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "examples:" in printed
    assert "--gpu-memory-utilization" in printed


@pytest.mark.parametrize(
    ("environment", "endpoint", "wanted"),
    [
        ({}, None, False),
        ({}, "http://collector:4317", True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, None, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, None, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, "http://collector:4317", False),
        ({"OTEL_SDK_DISABLED": "true"}, "http://collector:4317", False),
    ],
)
def test_traces_are_sent_only_when_asked_for(
    environment: dict[str, str], endpoint: str | None, *, wanted: bool
) -> None:
    assert wants_traces(environment, endpoint) is wanted


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
)
def test_another_exporter_than_otlp_over_grpc_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="OTEL_"):
        wants_traces(environment, None)
