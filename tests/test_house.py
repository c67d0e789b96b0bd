"""The rooms of the house: who loads what, and that the generated code is that of the contract."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).parent.parent
PROTOS = sorted((ROOT / "protos/palimpsest/v1").glob("*.proto"))


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("palimpsest", ["google.protobuf", "grpc", "rich", "torch"]),
        ("palimpsest.client", ["torch", "transformers"]),
        ("palimpsest.engine.api", ["google.protobuf", "grpc", "opentelemetry", "torch"]),
        ("palimpsest.engine.worker", ["google.protobuf", "grpc", "opentelemetry"]),
        ("palimpsest.kernels.attention", ["google.protobuf", "grpc", "transformers"]),
        ("palimpsest.server.main", ["torch"]),
        ("palimpsest.server.media.decoding", ["google.protobuf", "grpc", "torch", "transformers"]),
    ],
)
def test_importing_a_module_does_not_load_what_it_must_not_know(
    module: str, strangers: list[str]
) -> None:
    code = f"import sys, {module}; print(*(set(sys.modules) & {set(strangers)}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


@pytest.mark.parametrize("room", ["engine", "kernels", "server"])
def test_no_room_imports_the_client(room: str) -> None:
    # import-linter cannot say this: to it the client's package holds all the others.
    for path in (ROOT / room).rglob("*.py"):
        for name in _imported(ast.parse(path.read_text())):
            assert not re.match(r"palimpsest(?!\.(engine|kernels|server|v1)\b)", name), path


def _imported(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "palimpsest":
            names += [f"palimpsest.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    image = tmp_path_factory.mktemp("buf") / "image.binpb"
    buf = Path(sys.executable).with_name("buf")
    command = [buf, "build", ROOT / "protos", "--as-file-descriptor-set", "--exclude-source-info"]
    subprocess.run([*command, "-o", image], check=True)
    return {file.name: file for file in FileDescriptorSet.FromString(image.read_bytes()).file}


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_generated_code_is_that_of_the_contract(
    proto: Path, compiled: dict[str, FileDescriptorProto]
) -> None:
    expected = compiled[f"palimpsest/v1/{proto.name}"]
    _drop_json_names(expected)
    actual = FileDescriptorProto()
    module = importlib.import_module(f"palimpsest.v1.{proto.stem}_pb2")
    module.DESCRIPTOR.CopyToProto(actual)
    _drop_json_names(actual)
    assert actual == expected, "run `make gen`"


def _drop_json_names(file: FileDescriptorProto) -> None:
    """Both compilers derive them from the field names; only one writes them down."""
    for message in file.message_type:
        for each in (message, *message.nested_type):
            for field in each.field:
                field.ClearField("json_name")


def test_declared_lower_bounds_are_those_of_the_generated_code() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    stub = (ROOT / "protos/palimpsest/v1/service_pb2_grpc.py").read_text()
    messages = (ROOT / "protos/palimpsest/v1/service_pb2.py").read_text()
    grpc_version = re.search(r"GRPC_GENERATED_VERSION = '(.*)'", stub)
    protobuf_version = re.search(r"Protobuf Python Version: (.*)", messages)
    assert grpc_version
    assert protobuf_version
    assert f"grpcio>={grpc_version[1]},<2" in dependencies
    assert f"protobuf>={protobuf_version[1]},<8" in dependencies


def test_make_lists_every_target_that_it_declares() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[0] for line in listed.stdout.splitlines()}
    # `links` is a step of others, for nobody to type
    assert set(declared[1].split()) - {"links"} == names
