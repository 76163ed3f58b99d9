"""compiled: the loss that a file was compiled with is read as data, in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest
import tf_keras

from job.manifest.training import LossConfig
from job.safety.compiled import losses, weights
from job.safety.judge import judge

OUTPUTS = ("a", "b")
FILES = [(tf_keras, "m.h5"), (tf_keras, "m.keras"), (tf_keras, "m"), (keras, "m.keras")]


def saved(library: Any, path: Path, loss: Any, loss_weights: Any = None) -> Path:
    given = library.Input((4,))
    ends = [library.layers.Dense(2, name=name)(given) for name in OUTPUTS]
    model = library.Model(given, ends)
    model.compile("sgd", loss, loss_weights=loss_weights)
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    return path


@pytest.mark.parametrize(("library", "name"), FILES)
def test_losses_are_found_with_their_settings(tmp_path: Path, library: Any, name: str) -> None:
    """By output, as names, classes and functions."""
    logits = library.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)
    given = {"a": "mse", "b": logits}
    judged = judge(saved(library, tmp_path / name, given, {"a": 1.0, "b": 0.25}))
    assert losses(judged, OUTPUTS) == {
        "a": LossConfig(type="mean_squared_error"),
        "b": LossConfig(type="binary_crossentropy", from_logits=True, label_smoothing=0.1),
    }
    assert weights(judged, OUTPUTS) == {"a": 1.0, "b": 0.25}


def of_settings(tmp_path: Path, settings: Any) -> dict[str, LossConfig | str]:
    """The losses of an ``.h5`` file with these compile settings."""
    path = saved(tf_keras, tmp_path / "m.h5", "mse")
    with h5py.File(path, "r+") as file:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        file.attrs["training_config"] = text
    return losses(judge(path), OUTPUTS)


def test_a_loss_that_can_not_be_used_gives_a_reason_or_nothing(tmp_path: Path) -> None:
    """Unknown names, unsupported settings, damaged texts; nothing is ever run."""
    smooth = {"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": 0}}
    total = {"class_name": "MeanSquaredError", "config": {"reduction": "sum"}}
    code = {"class_name": "function", "config": "os.system", "module": "builtins"}
    for given, says in (
        ("my_loss", "'my_loss', which is none"),
        (smooth, "'ignore_class' 0, which is not supported"),
        (total, "reduction 'sum', which is not supported"),
        (code, "'os.system', which is none"),
        ({"class_name": "Huber", "config": {"delta": -1}}, "settings that it does not have"),
        ({"class_name": 3, "config": []}, "a loss of its own"),
        ({"class_name": "Huber", "config": {}, "registered_name": "x>Huber"}, "none of the losses"),
    ):
        found = of_settings(tmp_path, {"loss": given})
        assert says in str(found["a"]), found
        assert found["a"] == found["b"]
    for nothing in ("{", "[]", {"loss": None}, {"loss": ["mse"]}, {"loss": {"z": "mse"}}, "3"):
        assert of_settings(tmp_path, nothing) == {}
