"""The baseline on some rows of the training data: the check of what is inferred about outputs,
targets and the inputs' scale, before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.datasets.data import Split
from job.metrics.quality import Predict
from job.objective.evidence import Evidence
from job.objective.evidence import look as look_at
from job.objective.losses import Objectives

# Rows that are tried, and bytes of inputs, at most; a row is tried in any case.
MAX_ROWS = 256
MAX_BYTES = 1 << 23
# What pictures are scaled with.
SCALES = (1.0, 1 / 255)
# A scale is wrong where another one has at most this part of the loss, and is this much more
# accurate.
LESS_LOSS = 0.5
MORE_ACCURATE = 0.1


def rows_of(split: Split) -> NDArray[np.int64]:
    """Rows from the first to the last, at equal distances."""
    row_bytes = sum(array[:1].nbytes for array in split.model_inputs(slice(0, 1)))
    count = max(1, min(MAX_ROWS, MAX_BYTES // max(1, row_bytes), len(split)))
    return np.unique(np.linspace(0, len(split) - 1, count).astype(np.int64))


def look(predict: Predict, split: Split, outputs: Sequence[str]) -> list[Evidence | None]:
    """What each output is on some rows.

    Args:
        predict: The baseline's forward pass.
        split: The training rows.
        outputs: The outputs' names, in the model's order.
    """
    rows = rows_of(split)
    answers = predict(split.model_inputs(rows))
    return [
        look_at(answer, targets[rows])
        for _, answer, targets in zip(outputs, answers, split.targets, strict=True)
    ]


@dataclass(frozen=True)
class Scale:
    """Whether the inputs are scaled as the model knows them, measured with others."""

    given: float
    rows: int
    figures: dict[float, dict[str, float]]
    """Scale -> metric -> value; empty where no other scale comes into question."""

    @property
    def better(self) -> float | None:
        """Another scale that is far better than the one given."""
        others = [it for it in self.figures if it != self.given]
        return next((it for it in others if self._is_far_better(it, self.given)), None)

    @property
    def is_right(self) -> bool:
        """Whether the one given is far better than the others."""
        others = [it for it in self.figures if it != self.given]
        return bool(others) and all(self._is_far_better(self.given, it) for it in others)

    @property
    def text(self) -> str:
        """Each scale with its figures."""
        parts = [
            f"with scale {scale:.17g} " + ", ".join(f"{key} {it:.4g}" for key, it in found.items())
            for scale, found in self.figures.items()
        ]
        return f"the baseline on {self.rows} training rows has {'; '.join(parts)}"

    def warnings(self, doubts: Sequence[str]) -> Iterator[str]:
        """What is wrong with the scale; ``doubts`` are those of the data alone."""
        if self.better is not None:
            yield (
                f"dataset.scale is {self.given:.17g} and looks wrong: {self.text}. "
                f"Set dataset.scale to {self.better:.17g}."
            )
        elif not self.is_right:
            yield from doubts

    def _is_far_better(self, one: float, other: float) -> bool:
        good, bad = self.figures[one], self.figures[other]
        less = good["loss"] < LESS_LOSS * bad["loss"]
        return less and good.get("accuracy", 1.0) >= bad.get("accuracy", 0.0) + MORE_ACCURATE


def check_scale(predict: Predict, split: Split, objectives: Objectives) -> Scale:
    """Measure the baseline with other scales than the one given, where the inputs look like bytes.

    Args:
        predict: The baseline's forward pass.
        split: The training rows, their targets of the outputs' ranks.
        objectives: By the model's outputs, in its order.
    """
    rows = rows_of(split)
    scaled = [
        array[rows]
        for array, dtype in zip(split.inputs, split.dtypes, strict=True)
        if np.issubdtype(np.dtype(_numpy_name(dtype)), np.floating)
    ]
    if not any(_are_bytes(array) for array in scaled):
        return Scale(split.scale, len(rows), {})
    scales = dict.fromkeys([split.scale, *SCALES])
    figures = {it: _figures(predict, replace(split, scale=it), rows, objectives) for it in scales}
    return Scale(split.scale, len(rows), {it: found for it, found in figures.items() if found})


def _numpy_name(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _are_bytes(array: NDArray[Any]) -> bool:
    return bool(array.min() >= 0 and 1 < array.max() <= 255 and (array == np.rint(array)).all())


def _figures(
    predict: Predict, split: Split, rows: NDArray[np.int64], objectives: Objectives
) -> dict[str, float]:
    """The weighted loss, and the mean accuracy of the outputs that have one."""
    answers = predict(split.model_inputs(rows))
    loss, accuracies = 0.0, []
    for objective, answer, targets in zip(objectives.values(), answers, split.targets, strict=True):
        loss += objective.weight * float(objective.loss()(targets[rows], answer))
        for metric in objective.metrics():
            if metric.name == "accuracy":
                metric.update_state(targets[rows], answer)
                accuracies.append(float(metric.result()))
    found = {"loss": loss} | ({"accuracy": float(np.mean(accuracies))} if accuracies else {})
    return found if np.isfinite(list(found.values())).all() else {"loss": float("inf")}


def masked(model: Any, outputs: Sequence[str]) -> Iterator[str]:
    """That metrics count padded steps, which Keras leaves out of the loss of its training."""
    for name, tensor in zip(outputs, model.outputs, strict=True):
        if getattr(tensor, "_keras_mask", None) is not None:
            yield (
                f"The output {name} has a mask. The training leaves masked steps out of the loss; "
                "metrics count all steps, also for .tflite files, which have no masks. Give rows "
                "of full length for figures without padding."
            )
