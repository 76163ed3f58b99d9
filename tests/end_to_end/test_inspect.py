"""``paredown inspect``: what a model is, for a person and for a program."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import tf_keras

from job.safety.archive import measure
from job.storage.local import measure as measure_file
from tests.conftest import Run, paredown
from tests.support.rare import rare

layers = tf_keras.layers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A nested model with an open dimension, a frozen layer and one that can't be pruned."""
    branch = tf_keras.Sequential(
        [
            layers.InputLayer((None, None, 3)),
            layers.Conv2D(8, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
        ],
        name="branch",
    )
    given = tf_keras.Input((None, None, 3), name="image")
    x = layers.GlobalAveragePooling2D()(branch(given))
    x = layers.Dense(40, trainable=False, name="frozen")(x)
    x = layers.Dense(20, name="wide")(x)
    made = tf_keras.Model(given, layers.Dense(2, name="answer")(x))
    path = tmp_path_factory.mktemp("inspected") / "model.h5"
    made.save(path, save_format="h5")
    return path


@pytest.fixture(scope="module")
def found(model: Path) -> Run:
    run = paredown("inspect", model, "--json")
    assert run.code == 0, run.err
    return run


def test_a_program_reads_what_the_model_is(model: Path, found: Run) -> None:
    """Format, digest, inputs and outputs, parameters, layers by path, choices, variants."""
    seen = json.loads(found.out)
    size, digest = measure_file(model, "")
    assert (seen["format"], seen["keras_version"]) == ("h5", tf_keras.__version__)
    assert (seen["uri"], seen["bytes"], seen["sha256"]) == (str(model), size, digest)
    assert seen["dangers"] == []
    assert [it["name"] for it in seen["inputs"]] == ["image"]
    assert seen["inputs"][0]["shape"] == [None, None, None, 3]
    assert [it["name"] for it in seen["outputs"]] == ["answer"]
    assert seen["parameters"] == 8 * 28 + 4 * 8 + 9 * 40 + 41 * 20 + 21 * 2
    assert len(seen["choices"]) == 1
    assert "image" in seen["choices"][0]
    assert "model.input_shapes" in seen["choices"][0]
    layers = {it["name"]: it for it in seen["layers"]}
    assert layers["branch/conv"]["prunable_weights"] == 8 * 27
    assert layers["wide"]["prunable"]
    assert not layers["frozen"]["prunable"]
    assert "frozen" in layers["frozen"]["reason"]
    assert "BatchNormalization" in layers["branch/norm"]["reason"]
    assert "min_weights" in layers["answer"]["reason"]
    kinds = ["float32", "float16", "dynamic_range", "weight_only", "int8", "int16x8"]
    assert list(seen["variants"]) == kinds
    assert all(it.startswith("converts") for it in seen["variants"].values())


def test_a_person_reads_the_same(model: Path, found: Run) -> None:
    """In lines and a table, with the reasons why layers stay dense."""
    seen = json.loads(found.out)
    run = paredown("inspect", model)
    assert run.code == 0
    assert seen["sha256"] in run.out
    for layer in seen["layers"]:
        (line,) = [it for it in run.out.splitlines() if it.startswith(f"{layer['name']} ")]
        assert layer["reason"] in line
    for name, outcome in seen["variants"].items():
        assert any(it.split()[:1] == [name] and outcome in it for it in run.out.splitlines())


def test_variants_that_do_not_convert_have_a_reason(tmp_path: Path) -> None:
    """A GRU is a loop in a .tflite, which can't be calibrated."""
    path = tmp_path / "m.h5"
    made = tf_keras.Sequential([layers.InputLayer((4, 3)), layers.GRU(8), layers.Dense(2)])
    made.save(path, save_format="h5")
    variants = json.loads(paredown("inspect", path, "--json").out)["variants"]
    assert variants["float32"].startswith("converts")
    assert variants["int8"].startswith("no: ")
    assert "unroll=True" in variants["int8"]


@rare
def test_a_layer_that_is_called_with_two_shapes_has_both(tmp_path: Path) -> None:
    """A shared layer answers in more than one shape."""
    shared = layers.Dense(2, name="shared")
    a, b = tf_keras.Input((3, 4)), tf_keras.Input((4,))
    made = tf_keras.Model([a, b], [shared(a), shared(b)])
    made.save(tmp_path / "m.h5", save_format="h5")
    run = paredown("inspect", tmp_path / "m.h5", "--json")
    shapes = {it["name"]: it["output_shape"] for it in json.loads(run.out)["layers"]}
    assert shapes["shared"] == "(None, 2) or (None, 3, 2)"


@rare
def test_a_folder_has_the_digest_that_a_manifest_pins(tmp_path: Path) -> None:
    """That of its files in a tar."""
    made = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(2)])
    made.save(tmp_path / "m", save_format="tf")
    run = paredown("inspect", tmp_path / "m", "--json")
    assert json.loads(run.out)["sha256"] == measure(tmp_path / "m", "")[1]


@pytest.mark.parametrize("name", ["nowhere.h5", "empty.h5", "text.keras", "folder", "plain.zip"])
def test_what_is_no_model_is_refused(name: str, tmp_path: Path) -> None:
    """With one error that names it, and exit code 3."""
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "plain.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.txt", "nothing")
    elif name != "nowhere.h5":
        path.write_text("" if name == "empty.h5" else "no model\n" * 100)
    run = paredown("inspect", path)
    assert run.code == 3
    assert run.out == ""
    assert run.err.startswith("error: ")
    assert str(path) in run.err
    assert "to do:" in run.err
