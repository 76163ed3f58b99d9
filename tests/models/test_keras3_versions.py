"""keras3_versions: a model that another version of Keras computes otherwise is found."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from job.errors import InputError
from job.models.load import load, read
from job.safety.judge import judge

layers = keras.layers
Change = Callable[[dict[str, Any]], None]


def saved_by(version: str, model: keras.Model, path: Path, change: Change = lambda _: None) -> Path:
    """A file of the model as of another version, with a changed configuration."""
    model.save(path)
    with zipfile.ZipFile(path) as file:
        contents: dict[str, Any] = {name: file.read(name) for name in file.namelist()}
    config = json.loads(contents["config.json"])
    change(config["config"])
    metadata = json.loads(contents["metadata.json"]) | {"keras_version": version}
    contents |= {"config.json": json.dumps(config), "metadata.json": json.dumps(metadata)}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def functional(*made: Any, shape: tuple[int, ...] = (5, 4)) -> keras.Model:
    is_encoding = isinstance(made[0], layers.CategoryEncoding)
    given = keras.Input(shape, dtype="int32" if is_encoding else "float32")
    x = given
    for layer in made:
        x = layer(x)
    return keras.Model(given, x)


def test_a_layer_that_gives_another_shape_than_in_the_file_is_refused(tmp_path: Path) -> None:
    """With both shapes and versions; also in a model inside of another."""
    up = layers.Conv1DTranspose(3, 3, 2, padding="same", name="up")
    model = functional(up, layers.GlobalAveragePooling1D(), layers.Dense(2))

    def shorter(config: dict[str, Any]) -> None:
        for layer in config["layers"]:
            for node in layer.get("inbound_nodes", ()):
                if node["args"][0]["config"]["keras_history"][0] == "up":
                    node["args"][0]["config"]["shape"] = [None, 9, 3]
            if layer["class_name"] == "Functional":
                shorter(layer["config"])

    for whole in (model, functional(model)):
        path = saved_by("3.12.0", whole, tmp_path / "m.keras", shorter)
        with pytest.raises(InputError, match=r"up has the shape \(10, 3\).*had \(9, 3\)") as caught:
            read(path)
        assert "3.12.0" in caught.value.what
        whole.save(tmp_path / "same.keras")
        assert read(tmp_path / "same.keras").warnings == ()


def test_open_dimensions_and_names_that_are_escaped_agree(tmp_path: Path) -> None:
    """And a layer that is used twice with several shapes."""
    shared = layers.Conv1D(3, 1, name="my layer")
    first, second = keras.Input((None, 4)), keras.Input((7, 4))
    both = [layers.GlobalMaxPooling1D()(shared(it)) for it in (first, second)]
    model = keras.Model([first, second], layers.Add()(both))
    assert read(saved_by("3.12.0", model, tmp_path / "m.keras")).warnings == ()


def test_a_sequential_model_is_compared_by_what_its_layers_were_built_for(tmp_path: Path) -> None:
    """That is no proof, so it is a warning."""
    model = keras.Sequential(
        [keras.Input((5, 4)), layers.UpSampling1D(2), layers.LayerNormalization(name="norm")]
    )

    def longer(config: dict[str, Any]) -> None:
        config["layers"][-1]["build_config"]["input_shape"] = [None, 9, 4]

    (warning,) = read(saved_by("3.12.0", model, tmp_path / "m.keras", longer)).warnings
    assert "norm was built for inputs of the shape (9, 4) in Keras 3.12.0" in warning
    assert "gets (10, 4)" in warning


@pytest.mark.parametrize(
    ("layer", "shape", "last", "first"),
    [
        (lambda: layers.RandomCrop(5, 4), (8, 8, 3), "3.6.0", "3.9.2"),
        (lambda: layers.CategoryEncoding(9, "one_hot"), (1,), "3.3.3", "3.6.0"),
        (
            lambda: layers.Conv1DTranspose(3, 3, 2, padding="same", output_padding=0),
            (5, 4),
            "3.12.0",
            keras.__version__,
        ),
    ],
    ids=["RandomCrop", "CategoryEncoding", "Conv1DTranspose"],
)
def test_a_layer_that_behaved_otherwise_is_warned_of(
    layer: Callable[[], Any], shape: tuple[int, ...], last: str, first: str, tmp_path: Path
) -> None:
    """Up to the version that changed it."""
    model = functional(layer(), layers.Rescaling(2.0), shape=shape)
    (warning,) = load(judge(saved_by(last, model, tmp_path / "old.keras"))).warnings
    assert warning.startswith(model.layers[1].name)
    assert f"Keras {last}, which saved the model" in warning
    assert load(judge(saved_by(first, model, tmp_path / "new.keras"))).warnings == ()


def test_a_shape_that_keras_recorded_wrongly_is_no_change(tmp_path: Path) -> None:
    """Keras 3.12 wrote (1) for a Discretization into three classes, and computed (3)."""
    made = layers.Discretization([0.0, 1.0], output_mode="one_hot", name="bins")
    model = functional(made, layers.Rescaling(2.0), shape=(1,))

    def wrong(config: dict[str, Any]) -> None:
        config["layers"][2]["inbound_nodes"][0]["args"][0]["config"]["shape"] = [None, 1]

    assert read(saved_by("3.12.0", model, tmp_path / "m.keras", wrong)).warnings == ()
