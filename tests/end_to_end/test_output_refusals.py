"""What contradicts a model's inputs and outputs is refused in seconds, with what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.support.heads import TRAINING, both, job, save_all
from tests.support.published import run_together
from tests.support.rare import some


def shapes(*sizes: int, name: str = "image") -> dict[str, Any]:
    """The job on pictures of any size, with sizes given."""
    model = {"uri": "../models/large.keras", "input_shapes": {name: list(sizes)}}
    return job("large.keras", ["large"], ["side"], model=model)


def changed(**training: Any) -> dict[str, Any]:
    """The job on the model in a dict, with another training."""
    return both("dict.h5") | {"training": TRAINING | training}


def gated(**gate: Any) -> dict[str, Any]:
    """The same with one gate."""
    return both("dict.h5") | {"gates": [{"type": "min_value", "value": 0} | gate]}


NO_OUTPUT = "no output sied; its outputs: angle, side"
EVERY_REFUSAL: dict[str, tuple[dict[str, Any], str, str]] = {
    "shape against model": (shapes(12, 10, 3), "is (12, 10, 3), the model takes", "input_shapes"),
    "rank against model": (shapes(12, 10), "is (12, 10), the model takes", "input_shapes"),
    "shape against data": (shapes(10, 12, 1), "(12, 10, 1), and image is taken", "dataset.train"),
    "no such input": (shapes(12, 10, 1, name="img"), "no input img; its inputs: image", "shapes"),
    "loss": (changed(loss={"sied": "huber"}), NO_OUTPUT, "training.loss"),
    "metrics": (changed(metrics={"sied": ["auc"]}), NO_OUTPUT, "training.metrics"),
    "weights": (changed(loss_weights={"sied": 1}), NO_OUTPUT, "training.loss_weights"),
    "gate": (gated(metric="loss", output="sied"), NO_OUTPUT, "gates.0.output"),
    "gate of none": (gated(metric="auc"), "measured for none of the outputs", "gates.0.metric"),
    "one metric for all": (
        changed(metrics=["accuracy"]) | {"gates": []},
        "accuracy has no meaning for the loss huber",
        "training.metrics (angle)",
    ),
    "targets": (
        job("series.h5", ["series"], ["side"]),
        "names 1 arrays; the model has 2 outputs: side, angle",
        "dataset.train.targets",
    ),
    "labels of one": (
        job("series.h5", ["series"], ["side", "picture"]),
        "the model answers with (1)",
        "dataset.train.targets (angle)",
    ),
}
REFUSALS = some(
    EVERY_REFUSAL, "shape against model", "shape against data", "loss", "gate of none", "targets"
)


@pytest.fixture(scope="module")
def refused(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All refusals, run."""
    inputs = tmp_path_factory.mktemp("refusals")
    save_all(inputs)
    jobs = {case: sections for case, (sections, *_) in REFUSALS.items()}
    return run_together(jobs, tiny, inputs)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_contradicts_the_model_is_refused_when_it_is_read(
    refused: dict[str, Run], case: str
) -> None:
    """What was named and what there is, and where."""
    _, what, where = REFUSALS[case]
    error = refused[case].error
    assert (refused[case].code, error["exit_code"]) == (3, 3)
    assert what in error["what"], error
    assert where in error["where"], error
    assert error["to_do"]
