"""Whole runs on models with open dimensions, which are fixed in the .tflite alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.metrics.litert import custom_operators
from tests.conftest import paredown
from tests.support.heads import TESTS, answers, arrays, job, save_all
from tests.support.published import Published, publish_all

SHAPES = {"uri": "../models/large.keras", "input_shapes": {"image": [12, 10, 1]}}
JOBS: dict[str, dict[str, Any]] = {
    "series": job("series.h5", ["series"], ["side", "angle"]),
    "data": job("large.keras", ["large"], ["side"]),
    "given": job("large.keras", ["large"], ["side"], model=SHAPES, prune=None),
}


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    """All jobs, run."""
    folder = tmp_path_factory.mktemp("open")
    save_all(folder)
    return publish_all(JOBS, tiny, folder)


def test_every_job_succeeds(published: dict[str, Published]) -> None:
    """And says nothing on standard error."""
    assert {name: it.run.code for name, it in published.items()} == dict.fromkeys(JOBS, 0)
    assert {it.run.err for it in published.values()} == {""}


def decisions(published: Published, stage: str) -> list[str]:
    """What was decided in a stage."""
    (found,) = [it for it in published.result["stages"] if it["name"] == stage]
    return list(found["decisions"])


def test_a_recurrent_model_of_open_length_is_fixed_in_the_tflite_alone(
    published: dict[str, Published],
) -> None:
    """Builtin operators, one row, the data's length; the Keras file still takes any length."""
    it = published["series"]
    path = it.folder / "dynamic_range.tflite"
    assert custom_operators(path) == []
    (taken,) = it.artifact("dynamic_range")["inputs"]
    assert (taken["name"], taken["shape"]) == ("series", [1, 9, 4])
    assert {one["name"] for one in it.artifact("dynamic_range")["outputs"]} == {"side", "angle"}
    (open_input,) = it.artifact("prune")["inputs"]
    assert open_input["shape"] == [None, None, 4]
    model = tf_keras.models.load_model(it.folder / "prune.h5", compile=False)
    assert model.input_shape == (None, None, 4)
    x = arrays()["series_test"] * np.float32(1 / 255)
    found = answers(path, {"series": x[:1].repeat(TESTS, axis=0)})
    wanted = dict(zip(("side", "angle"), model(x[:1]), strict=True))
    for name, answer in wanted.items():
        np.testing.assert_allclose(found[name][:1], answer.numpy(), atol=0.05)
    said = decisions(it, "load")
    assert "series: (None, 4) is taken as (9, 4), from the data" in said
    said = decisions(it, "quantize")
    assert "the .tflite files take series as (9, 4) only" in said
    assert "the .tflite files take one row at a time, for the recurrent layers" in said


@pytest.mark.parametrize(
    ("name", "source"), [("data", "the data"), ("given", "model.input_shapes (image)")]
)
def test_open_dimensions_are_taken_from_the_manifest_or_the_data(
    published: dict[str, Published], name: str, source: str
) -> None:
    """Which of them is said; a model of one output, in a dict, has the plain metrics."""
    it = published[name]
    assert f"image: (None, None, 1) is taken as (12, 10, 1), from {source}" in decisions(it, "load")
    tflite = it.artifact("dynamic_range")
    assert tflite["inputs"][0]["shape"] == [None, 12, 10, 1]
    assert tflite["outputs"][0]["name"] == "where"
    assert it.artifact("baseline")["inputs"][0]["shape"] == [None, None, None, 1]
    assert set(tflite["metrics"]) == {"loss", "accuracy"}
    assert list(it.result["objective"]) == ["where"]


def test_other_shapes_are_another_run(published: dict[str, Published]) -> None:
    """A run that is done is not done again; one with other input_shapes is none of it."""
    manifest = published["given"].manifest
    assert paredown("run", manifest).events[-1]["already_done"] is True
    again = paredown("run", manifest, "--set", "model.input_shapes={}")
    assert (again.code, "another run" in again.error["what"]) == (2, True)
