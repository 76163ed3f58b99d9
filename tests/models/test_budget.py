"""budget: a model that exceeds the limits of its file is refused while it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models import budget
from job.models.load import read

layers = tf_keras.layers


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    """A small model with a changed configuration."""
    given = tf_keras.Input((4,), name="given")
    model = tf_keras.Model(given, layers.Dense(3, name="b")(layers.Dense(3, name="a")(given)))
    model.save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def test_a_layer_with_a_trillion_weights_is_refused_before_it_is_made(tmp_path: Path) -> None:
    """Neither layer alone is too large; their product is."""

    def grow(found: list[Any]) -> None:
        found[1]["config"]["units"] = found[2]["config"]["units"] = 1_000_000

    path = changed(tmp_path / "m.h5", grow)
    with pytest.raises(InputError, match=r"want 4,0.* bytes or more") as caught:
        read(path)
    assert caught.value.where == str(path)


def test_a_graph_that_keras_never_finishes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer whose input is a call that is never made: Keras waits for it without end."""
    monkeypatch.setattr(budget, "FLOOR_SECONDS", 4)  # so many more, and the kernel ends pytest

    def mislead(found: list[Any]) -> None:
        found[2]["inbound_nodes"][0][0][1] = 7

    with pytest.raises(InputError, match="not made after 4 seconds of CPU time"):
        read(changed(tmp_path / "m.h5", mislead))


def test_a_normal_model_is_made_and_the_limits_end_afterwards(tmp_path: Path) -> None:
    assert read(changed(tmp_path / "m.h5", lambda _: None)).model.count_params() == 27
    large = tf.Variable(tf.zeros((1 << 25,)))
    assert large.shape == (1 << 25,)


def test_a_layer_with_huge_outputs_is_refused_before_they_are_computed(tmp_path: Path) -> None:
    """A RepeatVector has no weights; the layer is named."""
    given = tf_keras.Input((4,), name="given")
    repeated = layers.RepeatVector(2, name="again")(given)
    tf_keras.Model(given, layers.Flatten()(repeated)).save(tmp_path / "m.h5", save_format="h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["n"] = 2_000_000_000
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="output has 8,000,000,000 numbers") as caught:
        read(tmp_path / "m.h5")
    assert "again" in caught.value.where
