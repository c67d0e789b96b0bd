"""The wheel, built from the source archive: all is in it, and the client runs on it alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "clients/python": "palimpsest",
    "engine": "palimpsest/engine",
    "kernels": "palimpsest/kernels",
    "protos/palimpsest/v1": "palimpsest/v1",
    "server": "palimpsest/server",
}
SERVER_ONLY = [
    "connectrpc",
    "grpc_health",
    "grpc_reflection",
    "grpc_status",
    "jinja2",
    "numpy",
    "opentelemetry",
    "safetensors",
    "starlette",
    "torch",
    "transformers",
    "uvicorn",
]

CLIENT_ALONE = f"""
import importlib, pathlib, sys
for name in {SERVER_ONLY}:
    sys.modules[name] = None  # importing it raises
import palimpsest
assert palimpsest.Client and palimpsest.AsyncClient and palimpsest.__version__
folder = pathlib.Path(palimpsest.__file__).parent
for name in [p.stem for p in folder.glob("*.py") if p.stem != "__main__"]:
    importlib.import_module(f"palimpsest.{{name}}")
import palimpsest.v1.service_pb2_grpc
print(folder)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_every_file_of_every_package_is_in_the_wheel(wheel: Path) -> None:
    expected = {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        # of the prose, only the model's card goes with what it describes
        if path.suffix != ".md" or path.parent.name == "bundled"
    }
    with zipfile.ZipFile(wheel) as archive:
        actual = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert expected == actual


def test_the_client_runs_on_the_wheel_and_the_base_dependencies_alone(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    # Without `site` the editable install does not stand in for what the wheel lacks.
    run = subprocess.run(
        [sys.executable, "-S", "-c", CLIENT_ALONE],
        env={"PYTHONPATH": f"{tmp_path}:{sysconfig.get_path('purelib')}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "palimpsest")
