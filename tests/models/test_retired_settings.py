"""retired_settings: what older versions of Keras 3 wrote, and what has no effect, is left out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest

from job.models.compare import TOLERANCE, difference
from job.models.load import load, save
from job.models.retired_settings import note, without_retired
from job.safety.judge import judge

layers = keras.layers


def as_of_keras_3_0(config: Any) -> Any:
    """A configuration with the ``value_range`` that Keras 3.0 wrote."""
    if isinstance(config, list):
        return [as_of_keras_3_0(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: as_of_keras_3_0(part) for key, part in config.items()}
    if config.get("class_name") == "RandomRotation":
        config["config"]["value_range"] = [0, 255]
    return config


def written(path: Path) -> keras.Model:
    """A model whose file has the setting, also in a model inside of it."""
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.RandomRotation(0.1, name="turn")])
    given = keras.Input((6, 6, 3))
    x = layers.RandomRotation(0.2, name="first")(given)
    model = keras.Model(given, layers.Dense(2)(layers.Flatten()(inner(x))))
    model.save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = as_of_keras_3_0(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = json.dumps(config)
        return model
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    config = as_of_keras_3_0(json.loads(contents["config.json"]))
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (contents | {"config.json": json.dumps(config)}).items():
            file.writestr(name, content)
    return model


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_file_with_a_retired_setting_is_read_without_it(suffix: str, tmp_path: Path) -> None:
    """The result says so; the file itself is not changed."""
    path = tmp_path / f"m.{suffix}"
    model = written(path)
    before = path.read_bytes()
    found = load(judge(path))
    assert difference(model, found.model) <= TOLERANCE
    said = found.notes[0]
    assert "value_range of first, value_range of turn" in said
    saved = save(found.model, found, tmp_path / f"pruned.{suffix}")
    assert "value_range" not in str(saved.notes)
    assert path.read_bytes() == before


def test_other_settings_stay() -> None:
    """Also those of this name in other layers."""
    turned = {"class_name": "RandomRotation", "config": {"name": "a", "value_range": [0, 1]}}
    other = {"class_name": "RandomHue", "config": {"name": "b", "value_range": [0, 1]}}
    whole = {"config": {"layers": [turned, other]}}
    assert without_retired(whole) == {
        "config": {"layers": [turned | {"config": {"name": "a"}}, other]}
    }
    assert "value_range" in turned["config"]
    assert note({"layers": [other]}) == ""
