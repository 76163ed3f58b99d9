"""load_errors: Keras's exceptions become messages with the cause; only damaged bytes are damage."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from job.errors import InputError
from job.models import load
from job.models.load_errors import explain
from job.safety.judge import Judged

Change = Callable[[dict[str, Any]], None]


def judged(version: str = "3.15.1") -> Judged:
    """A validated file."""
    return Judged(Path("m.keras"), "m.keras", "keras", version, {}, 0, 0, (), None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (zlib.error("Error -3 while decompressing"), "damaged"),
        (zipfile.BadZipFile("Bad CRC-32 for file"), "damaged"),
        (OSError("Can't synchronously read data (inflate() failed)"), "damaged"),
        (ValueError("Unknown layer: 'Scale'. Please ensure"), "uses the layer 'Scale'"),
        (ValueError("Unknown activation function 'celu' cannot be"), "function 'celu'"),
        (TypeError("Could not locate class 'X>Y'. Make sure"), "uses the class 'X>Y'"),
        (TypeError("Could not locate function 'act'. Make sure"), "uses the function 'act'"),
        (TypeError("f() got an unexpected keyword argument 'magic'"), "the setting 'magic'"),
        (TypeError("Unrecognized keyword arguments passed to Dense: {'a': 1}"), "setting 'a'"),
        (TypeError("('Keyword argument not understood:', 'b')"), "the setting 'b'"),
        (KeyError("object 'dense_2' doesn't exist"), "weights of 'dense_2' are not in the file"),
        (ValueError("Weight count mismatch for top-level weights"), "do not fit the model's"),
        (ValueError("'my head/' is not a valid root scope name. A"), "name 'my head'"),
        (RuntimeError("something else\nand more"), "RuntimeError: something else"),
    ],
)
def test_each_exception_has_a_message_with_its_cause(error: Exception, said: str) -> None:
    """In one line; only a damaged file is called damaged."""
    told = explain(error, judged(), is_rebuilding=False)
    assert said in told.what
    assert "\n" not in told.what
    assert ("damaged" in told.what) == (said == "damaged")
    assert "corrupt" not in str(told)
    assert told.hint


def test_a_feature_that_keras_2_lacks_is_not_damage() -> None:
    """Keras 3 has loaded the file."""
    error = ValueError("Unknown activation function 'hard_silu' cannot be deserialized.")
    told = explain(error, judged(), is_rebuilding=True)
    assert "can't be rebuilt for Keras 2" in told.what
    assert "'hard_silu', which Keras 2 does not know" in told.what
    assert "not damaged" in told.hint


def test_a_file_of_a_newer_keras_is_reported() -> None:
    """With both versions."""
    error = TypeError("unexpected keyword argument 'magic'")
    assert "saved by Keras 3.99.0" in explain(error, judged("3.99.0"), is_rebuilding=False).hint
    older = explain(error, judged("3.0.5"), is_rebuilding=False).hint
    assert "newer than" not in older
    assert "Keras 3.0.5 saved the model" in older
    assert "may no longer have this" in older


def test_the_version_is_no_cause_where_it_is_the_same() -> None:
    """The hint is about the setting or the class alone."""
    for error in (
        TypeError("unexpected keyword argument 'magic'"),
        ValueError("Unknown layer: 'Scale'. Please ensure"),
    ):
        hint = explain(error, judged(keras.__version__), is_rebuilding=False).hint
        assert "newer" not in hint
        assert "older" not in hint
        assert hint.endswith("save it again." if "magic" in str(error) else "the model again.")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Keras 3 model."""
    path = tmp_path_factory.mktemp("saved") / "m.keras"
    layers = [keras.Input((4,)), keras.layers.Dense(3, name="d"), keras.layers.Dense(2)]
    keras.Sequential(layers).save(path)
    return path


def setting(**settings: Any) -> Change:
    """Change a layer's settings."""
    return lambda layer: layer["config"].update(settings)


@pytest.mark.parametrize(
    ("change", "said", "layer"),
    [
        (setting(kernel_magic=3), "the setting 'kernel_magic'", ", layer d (Dense)"),
        (setting(activation="magic"), "function 'magic'", ", layer d (Dense)"),
        (setting(units=5), "do not fit", ""),
    ],
    ids=["a setting", "an activation", "a size"],
)
def test_errors_in_real_files_are_explained(
    change: Change, said: str, layer: str, saved: Path, tmp_path: Path
) -> None:
    """Keras nests its errors; the innermost one is used, with its layer."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"][1])
                content = json.dumps(config).encode()
            new.writestr(name, content)
    with pytest.raises(InputError) as caught:
        load.read(path)
    assert said in caught.value.what
    assert caught.value.where == f"{path}{layer}"
    assert "damaged" not in str(caught.value)
