"""`palimpsest quantize`: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import published
import pytest
import replay
import torch
from released import write_released
from torch import Tensor

from palimpsest.engine import loading as serving
from palimpsest.engine.config import read_config
from palimpsest.engine.engine import Engine
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.events import Finished
from palimpsest.engine.headers import Entry, read_headers, weight_files
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.quantiser.command import main
from palimpsest.engine.quantiser.formats import FORMATS
from palimpsest.engine.quantiser.record import read_record
from palimpsest.engine.quantiser.run import Done, quantise
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.weights import load_model

CPU = torch.device("cpu")
GAUSSIAN_ERRORS = {"fp8-dynamic": 0.0265, "nvfp4": 0.097, "w6a8": 0.0265, "w4a8": 0.103}
"""Of experts whose weights are Gaussian numbers: what the codecs' descriptions say, and some."""


def run(source: Path, target: Path, format: str, *, force: bool = False) -> Done:
    return quantise(source, target, format, force=force, progress=lambda done, total: None)


def load(folder: Path) -> dict[str, Tensor]:
    config = read_config(folder)
    return dict(load_model(folder, config, dtype=torch.float32, device=CPU).state_dict())


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", params=FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    return request.param


Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def made_as(sharded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The calm checkpoint of several files, in a format."""

    @cache
    def make(format: str) -> Path:
        target = tmp_path_factory.mktemp(format) / "made"
        run(sharded_folder, target, format)
        return target

    return make


@pytest.fixture(scope="module")
def whole(format: str, made_as: Made) -> Path:
    """In each format in turn."""
    return made_as(format)


def entries(folder: Path) -> dict[str, Entry]:
    return read_headers(weight_files(folder))


@pytest.mark.parametrize(
    ("format", "said", "linear", "layers"),
    [
        (
            "fp8-dynamic",
            published.FP8,
            published.fp8_linear,
            r"layers\.\d+\.(experts|mlp|self_attn)\..*",
        ),
        ("nvfp4", published.NVFP4, published.nvfp4_linear, r"layers\.\d+\.(experts|mlp)\..*"),
    ],
)
def test_published_formats_have_the_tensors_and_the_config_of_the_published_layout(
    sharded_folder: Path,
    calm_folder: Path,
    tmp_path: Path,
    format: str,
    said: Mapping[str, object],
    linear: published.Linear,
    layers: str,
) -> None:
    run(sharded_folder, tmp_path / "made", format)
    model = published.published(calm_folder, said, linear, layers)
    folder = model.write(tmp_path / "by-hand")
    wanted = entries(folder)
    # scales of activations are not made
    unmade = {name for name in wanted if name.endswith("input_global_scale")}
    assert entries(tmp_path / "made") == {n: e for n, e in wanted.items() if n not in unmade}

    config = json.loads((tmp_path / "made/config.json").read_text())["quantization_config"]
    assert config["ignore"] == said["ignore"]
    assert config["format"] == said["format"]


def test_experts_are_as_near_as_their_bits_allow(
    whole: Path, format: str, sharded_folder: Path
) -> None:
    made, exact = load(whole), load(sharded_folder)
    for name in (n for n in exact if ".experts." in n):
        error = (made[name] - exact[name]).norm() / exact[name].norm()
        assert 0.01 < error < GAUSSIAN_ERRORS[format], name


def test_what_is_not_quantised_is_the_same_to_the_bit(whole: Path, sharded_folder: Path) -> None:
    made, exact = load(whole), load(sharded_folder)
    kept = ("norm", "router", "embed_tokens", "self_conditioning", "layer_scalar")
    for name in (n for n in exact if any(word in n for word in kept)):
        assert torch.equal(made[name], exact[name]), name


def test_vision_weights_and_files_beside_the_weights_come_along(
    whole: Path, sharded_folder: Path
) -> None:
    vision = {n: e for n, e in entries(sharded_folder).items() if "vision" in n}
    assert vision
    assert vision.items() <= entries(whole).items()
    name = "generation_config.json"
    assert (whole / name).read_bytes() == (sharded_folder / name).read_bytes()


def test_the_record_has_the_error_of_every_layer(
    whole: Path, format: str, sharded_folder: Path
) -> None:
    made, exact = load(whole), load(sharded_folder)
    record = read_record(whole)
    assert record is not None
    groups = {"experts", "dense MLP"} | ({"attention"} if format != "nvfp4" else set())
    assert record.layers().keys() == {(layer, group) for layer in range(4) for group in groups}
    names = [f"layers.2.experts.{part}_proj" for part in ("gate_up", "down")]
    error = sum((made[name] - exact[name]).double().square().sum() for name in names)
    weight = sum(exact[name].double().square().sum() for name in names)
    told = record.layers()[2, "experts"].relative
    assert told == pytest.approx(float(error / weight) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("format", ["nvfp4", "w6a8"])
def test_a_run_that_was_cut_short_goes_on_and_ends_with_the_same_bytes(
    made_as: Made, format: str, sharded_folder: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done > total / 2:
            raise Killed

    with pytest.raises(Killed):
        quantise(sharded_folder, tmp_path / "made", format, force=False, progress=kill)
    finished = contents(tmp_path / "made")
    assert not {"config.json", "model.safetensors.index.json"} & finished.keys()
    with pytest.raises(CheckpointError, match=r"config\.json: no such file"):
        read_config(tmp_path / "made")

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").glob("*.safetensors")}
    done = run(sharded_folder, tmp_path / "made", format)
    assert done.found == len(before) > 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(tmp_path / "made") == contents(made_as(format))


def test_a_finished_run_is_left_alone(whole: Path, format: str, sharded_folder: Path) -> None:
    before = contents(whole)
    done = run(sharded_folder, whole, format)
    assert done.found == len(weight_files(whole))
    assert contents(whole) == before


def in_one_file(folder: Path, tensors: Mapping[str, published.Raw], of: Path) -> Path:
    folder.mkdir()
    published.save(folder / "model.safetensors", tensors)
    (folder / "config.json").write_bytes((of / "config.json").read_bytes())
    return folder


def all_tensors(folder: Path) -> dict[str, published.Raw]:
    return {
        name: raw for path in weight_files(folder) for name, raw in published.load(path).items()
    }


@pytest.mark.parametrize("format", ["nvfp4", "w6a8"])
def test_one_file_gives_the_weights_that_several_give(
    made_as: Made, format: str, sharded_folder: Path, tmp_path: Path
) -> None:
    one = in_one_file(tmp_path / "one", all_tensors(sharded_folder), sharded_folder)
    run(one, tmp_path / "made", format)
    assert same(load(tmp_path / "made"), load(made_as(format)))


def one_by_one(name: str, raw: published.Raw) -> Iterator[tuple[str, published.Raw]]:
    """A tensor, or if it is of all experts what each of them has."""
    layer, joined, which = name.partition("experts.")
    if not joined:
        yield name, raw
        return
    dtype, experts = raw
    parts = ("gate_proj", "up_proj") if which == "gate_up_proj" else (which,)
    for number, expert in enumerate(experts):
        for part, rows in zip(parts, np.split(expert, len(parts)), strict=True):
            yield f"{layer}experts.{number}.{part}.weight", (dtype, rows)


def test_experts_that_stand_one_by_one_give_the_weights_that_joined_ones_give(
    made_as: Made, format: str, sharded_folder: Path, tmp_path: Path
) -> None:
    tensors = dict(
        part for name, raw in all_tensors(sharded_folder).items() for part in one_by_one(name, raw)
    )
    source = in_one_file(tmp_path / "apart", tensors, sharded_folder)
    run(source, tmp_path / "made", format)
    assert same(load(tmp_path / "made"), load(made_as(format)))


@pytest.mark.parametrize("second", FORMATS)
def test_what_is_quantised_already_is_refused(whole: Path, second: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refusal:
        run(whole, tmp_path / "again", second)
    assert str(refusal.value).startswith(f"{whole}: is quantised already, ")
    assert f"this format's own error of {FORMATS[second].error} would come" in str(refusal.value)


@pytest.mark.parametrize(("first", "second"), [("w6a8", "nvfp4"), ("fp8-dynamic", "w6a8")])
def test_what_is_quantised_already_is_quantised_again_if_forced(
    made_as: Made, first: str, second: str, tmp_path: Path
) -> None:
    run(made_as(first), tmp_path / "again", second, force=True)
    made, once = load(tmp_path / "again"), load(made_as(first))
    for name in (n for n in once if ".experts." in n):
        error = (made[name] - once[name]).norm() / once[name].norm()
        # on a grid of few values the second rounding may be worse than on Gaussian numbers
        assert error < 1.6 * GAUSSIAN_ERRORS[second], name


def test_another_format_in_the_same_folder_is_refused(
    whole: Path, format: str, sharded_folder: Path
) -> None:
    other = next(name for name in FORMATS if name != format)
    with pytest.raises(CheckpointError, match=f"was begun as {format}; give another folder"):
        run(sharded_folder, whole, other)


def test_another_source_for_the_same_folder_is_refused(
    whole: Path, format: str, calm_folder: Path
) -> None:
    with pytest.raises(CheckpointError, match="of another source; give another folder"):
        run(calm_folder, whole, format)


def test_what_was_written_is_served(whole: Path) -> None:
    model, info = serving.load(EngineOptions(model=str(whole), device="cpu"), lambda *_: None)
    assert info.parameter_count == sum(p.numel() for p in model.network.parameters())
    sampling = Sampling(max_output_tokens=8, seed=0, max_denoising_steps=2)
    last = replay.run(Engine(model), [replay.submit(replay.random_prompt(9), sampling)])[-1]
    assert isinstance(last, Finished)


def test_sizes_that_a_format_has_no_place_for_are_refused(tmp_path: Path) -> None:
    source = write_released(tmp_path / "odd", None, num_hidden_layers=1, intermediate_size=2120)
    with pytest.raises(CheckpointError, match="2120 columns are no multiple of 16"):
        run(source, tmp_path / "made", "nvfp4")
    assert not (tmp_path / "made").exists()


def test_a_folder_of_something_else_is_refused(sharded_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        run(sharded_folder, tmp_path, "nvfp4")
    assert contents(tmp_path) == {"thesis.tex": b"precious"}


def test_the_source_itself_is_refused_as_target(sharded_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is the source; give another folder"):
        run(sharded_folder, sharded_folder, "nvfp4")


def test_the_command_tells_errors_as_json_and_draws_them(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "palimpsest.cli", "quantize", "bundled", str(tmp_path / "made")]
    words += ["--format", "nvfp4", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["format"] == "nvfp4"
    assert set(told["groups"]) == {"dense MLP", "experts"}
    assert told["bytes_after"] < told["bytes_before"]
    assert (tmp_path / "made/quantize.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bundled", "x", "--format", "int3"], "argument --format: invalid choice: 'int3'"),
        (["bundled", "x"], "the following arguments are required: --format"),
        (["/nowhere", "x", "--format", "nvfp4"], "source /nowhere: no such folder"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1
