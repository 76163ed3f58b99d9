"""The usage of each artifact, so that a program needs no manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tf_keras

from job.manifest.datasets import NpzConfig
from job.result.artifact import TensorResult
from job.result.result import Result
from job.result.specs import TensorSpec
from job.worker.measure import advice_on_statistics, with_usage
from tests.support.manifests import read_job
from tests.support.published import make_result

HALVED = NpzConfig(uri="data.npz", scale=0.5)
SPECS = [TensorSpec("picture", (8, 8), "float32"), TensorSpec("kind", (), "int32")]


def used(*inputs: TensorResult, specs: list[TensorSpec], is_keras3: bool = False) -> Result:
    result = make_result()
    base = result.baseline.model_copy(update={"inputs": list(inputs)})
    (made,) = with_usage([base], Path(), specs, HALVED, is_keras3=is_keras3)
    return result.model_copy(update={"artifacts": [made]})


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_what_the_model_takes_as_float_is_scaled_and_integers_are_not(dtype: str) -> None:
    """Whatever dtype the file takes."""
    picture = TensorResult(name="picture", dtype=dtype, shape=[None, 8, 8])
    kind = TensorResult(name="kind", dtype="int32", shape=[None])
    base = used(picture, kind, specs=SPECS).baseline
    assert [it.multiply_by for it in base.inputs] == [0.5, 1.0]


def test_an_unknown_name_has_no_factor_unless_all_have_the_same() -> None:
    """Nothing is guessed."""
    other = TensorResult(name="serving_default_x:0", dtype="float32", shape=[None])
    assert used(other, specs=SPECS).baseline.inputs[0].multiply_by is None
    assert used(other, specs=SPECS[:1]).baseline.inputs[0].multiply_by == 0.5


def test_the_package_that_loads_it_and_what_opens_its_encodings_are_named() -> None:
    """Keras 3 or Keras 2."""
    for is_keras3, loader in ((True, "keras"), (False, "tf_keras")):
        base = used(specs=SPECS, is_keras3=is_keras3).baseline
        assert base.usage is not None
        assert (base.usage.loader, base.usage.has_state) == (loader, False)
        assert base.encoded["zip"].decoder == "zip"


@pytest.mark.parametrize(
    ("training", "targets", "has_statistics", "is_said"),
    [
        ({}, False, True, True),
        ({}, False, False, False),
        ({}, True, True, False),
        ({"freeze_batch_normalization": True}, False, True, False),
        ({"objective": "none"}, False, True, False),
    ],
)
def test_statistics_are_named_where_the_models_own_outputs_are_learned(
    training: dict[str, Any], targets: bool, has_statistics: bool, is_said: bool
) -> None:
    """As what may help where few of them stay."""
    split = {"inputs": "x"} | ({"targets": "y"} if targets else {})
    job = read_job(
        json.dumps(
            {
                "name": "a",
                "model": {"uri": "a.h5"},
                "dataset": {"type": "npz", "uri": "a.npz", "train": split},
                "training": training,
            }
        )
    )
    inner = [tf_keras.layers.BatchNormalization()] if has_statistics else []
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((3,)), *inner])
    assert bool(advice_on_statistics(job, model)) == is_said
