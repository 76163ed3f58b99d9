"""convert: what can't be converted, or does not run, is known before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.models.layers import signature
from job.result.specs import TensorSpec
from job.worker.convert import CERTAIN, Conversion, attempt, is_certain, plan
from tests.conftest import paredown
from tests.stages.test_quantize import variant
from tests.support.published import read_result, write_manifest
from tests.support.rare import rare

layers = tf_keras.layers


def planned(model: tf_keras.Model) -> tuple[Conversion, tuple[np.ndarray, ...]]:
    inputs, outputs = signature(model, "here")
    random = np.random.default_rng(0)
    rows = tuple(
        random.random((2, *(size or 1 for size in it.shape)), dtype=np.float32) for it in inputs
    )
    return plan(model, inputs, outputs, rows), rows


def normalized() -> tf_keras.Model:
    """A model whose file runs with one row only, for the converter's BROADCAST_TO."""
    given = tf_keras.Input((8, 8, 3), name="picture")
    x = layers.GroupNormalization(4)(layers.Conv2D(16, 3)(given))
    return tf_keras.Model(given, layers.Dense(4)(layers.Flatten()(x)))


def test_a_file_that_does_not_run_with_two_rows_takes_one() -> None:
    """This is reported, and then it runs."""
    model = normalized()
    how, rows = planned(model)
    assert how.one_row
    assert "one row at a time" in how.decided[0]
    assert "BROADCAST_TO" in how.decided[1]
    attempt(model, how, variant("dynamic_range"), rows)


def test_models_of_certain_layers_are_not_tried() -> None:
    """The tutorial's layers convert with any number of rows; others may not."""
    plain = tf_keras.Sequential([layers.InputLayer((8, 8, 1)), layers.Conv2D(4, 3), layers.ReLU()])
    how, _ = planned(plain)
    assert is_certain(plain)
    assert (how.one_row, list(how.decided)) == (False, [])
    assert not is_certain(normalized())
    assert {name for name in CERTAIN if hasattr(layers, name)} == CERTAIN


def test_rare_settings_dtypes_and_names_are_tried() -> None:
    """There may be no kernel for them, or none for several rows."""

    def certain(*parts: tf_keras.layers.Layer, dtype: str = "float32", name: str = "x") -> bool:
        given = tf_keras.Input((8, 8, 4), dtype=dtype, name=name)
        x = given
        for part in parts:
            x = part(x)
        return is_certain(tf_keras.Model(given, x))

    assert certain(layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization())
    assert certain(layers.ReLU(6), layers.Flatten(), layers.Dense(3, "softmax"), name="a b")
    assert not certain(layers.Rescaling(0.5), dtype="uint8")
    for uncertain in (
        layers.Conv2D(4, 3, dilation_rate=2),
        layers.Conv2D(4, 3, groups=2),
        layers.Conv2D(4, 3, activation="gelu"),
        layers.MaxPooling2D(data_format="channels_first"),
        layers.BatchNormalization(axis=1),
        layers.Softmax(axis=1),
        layers.ReLU(negative_slope=0.1),
        layers.GlobalMaxPooling2D(keepdims=True),
        layers.Reshape((2, 4, 8, 4)),
        layers.Dense(3, name="a\\b"),
    ):
        assert not certain(uncertain), uncertain
    given = tf_keras.Input((4,))
    always = tf_keras.Model(given, layers.BatchNormalization()(given, training=True))
    assert not is_certain(always)


def test_sizes_that_the_model_does_not_take_are_refused() -> None:
    """Before the training, with the sizes and the model's error."""
    given = tf_keras.Input((None, 4), name="bases")
    model = tf_keras.Model(given, layers.Cropping1D(500)(given))
    _, outputs = signature(model, "here")
    inputs = [TensorSpec("bases", (600, 4), "float32")]
    with pytest.raises(InputError, match="does not take inputs of these sizes") as caught:
        plan(model, inputs, outputs, (np.zeros((2, 600, 4), "float32"),))
    assert caught.value.where == "bases (600, 4)"


@pytest.mark.parametrize(
    "kind", ["float32", "float16", "dynamic_range", "weight_only", "int8", "int16x8"]
)
def test_certain_layers_convert(kind: str) -> None:
    """All of these layers in one model, to every variant, which runs with two rows."""
    given = tf_keras.Input((16, 16, 2))
    x = layers.ZeroPadding2D()(layers.Rescaling(0.5)(given))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(x))
    x = layers.ReLU()(layers.DepthwiseConv2D(3)(x))
    x = layers.MaxPooling2D()(layers.SeparableConv2D(4, 3)(x))
    x = layers.Add()([x, layers.Reshape((6, 6, 4))(layers.Dense(144)(layers.Flatten()(x)))])
    pools = [layers.GlobalAveragePooling2D(), layers.GlobalMaxPooling2D()]
    ends = [pool(layers.AveragePooling2D()(x)) for pool in pools]
    x = layers.Dropout(0.5)(layers.Concatenate()(ends))
    model = tf_keras.Model(given, layers.Softmax()(layers.Dense(40)(x)))
    used = {type(it).__name__ for it in model.layers}
    assert used == CERTAIN
    inputs, outputs = signature(model, "here")
    rows = (np.random.default_rng(0).random((2, 16, 16, 2), dtype=np.float32),)
    how = Conversion(inputs, outputs, one_row=False)
    assert isinstance(attempt(model, how, variant(kind), rows), list)


def test_a_variant_that_can_not_be_converted_ends_the_job_before_training(
    tiny: Path, tmp_path: Path
) -> None:
    """In the stage ``try``; an hour of training is not lost to it."""
    model = tf_keras.Sequential(
        [layers.InputLayer((8, 8)), layers.GRU(8), layers.Dense(4, name="dense")]
    )
    model.save(tmp_path / "m.h5", save_format="h5")
    sections = {"model": {"uri": str(tmp_path / "m.h5")}, "quantize": [{"type": "int8"}]}
    run = paredown("run", write_manifest(tmp_path, tiny, **sections))
    assert run.code == 4
    assert "unroll=True" in run.error["what"]
    stages = [it["stage"] for it in run.events if it["event"] == "stage_started"]
    assert stages[-1] == "try"
    assert "prune" not in stages


@rare
def test_the_result_says_that_files_take_one_row(tiny: Path, tmp_path: Path) -> None:
    """They are measured row by row."""
    given = tf_keras.Input((8, 8), name="picture")
    x = layers.Conv2D(16, 3)(layers.Reshape((8, 8, 1))(given))
    x = layers.Flatten()(layers.GroupNormalization(4)(x))
    tf_keras.Model(given, layers.Dense(4)(x)).save(tmp_path / "m.h5", save_format="h5")
    run = paredown("run", write_manifest(tmp_path, tiny, model={"uri": str(tmp_path / "m.h5")}))
    assert run.code == 0, run.err
    result = read_result(tmp_path / "out")
    (quantize,) = [it for it in result["stages"] if it["name"] == "quantize"]
    assert any("one row at a time" in it for it in quantize["decisions"])
    assert result["artifacts"][-1]["inputs"][0]["shape"] == [1, 8, 8]
    assert result["artifacts"][-1]["drift"]["max_abs"] < 0.5
