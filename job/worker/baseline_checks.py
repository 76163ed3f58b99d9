"""The model that came in, checked before anything is trained.

On some training rows: what outputs and targets are, and the inputs' scale. On the test rows:
whether the model is better than a constant answer. A cause is named with what speaks for it where
that can be tried in seconds: inputs of another scale, classes in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.preprocess import PresetName
from job.metrics.artifact import Measured
from job.metrics.quality import Predict
from job.metrics.usefulness import against_constant, is_within_chance
from job.objective.evidence import Evidence, look
from job.objective.losses import Objectives
from job.rows.data import Split
from job.worker.causes import likely_causes, setting, with_presets
from job.worker.context import Loaded, Work

# Rows that are tried, and bytes of inputs, at most; a row is tried in any case.
MAX_ROWS = 256
MAX_BYTES = 1 << 23
# So many weights are named.
NAMED = 3
# What pictures are scaled with.
SCALES = (1.0, 1 / 255)
# A scale is wrong where another one has at most this part of the loss, and is this much more
# accurate.
LESS_LOSS = 0.5
MORE_ACCURATE = 0.1
# Factors on the inputs that are tried, on so many test rows.
FACTORS = (1 / 255, 255.0)
TRIED_ROWS = 1000
# A cause is named where it would make this much of a difference: of an accuracy, or of an error's
# share.
CLEARLY = 0.1
MOST_CLASSES = 1000
SHOWN = 5


def refuse_nan(model: Any, where: str) -> None:
    """Refuse a model that has weights which are no numbers, whatever its outputs are.

    Raises:
        InputError: Where there are any.
    """
    found = [
        it.name
        for it in model.weights
        if np.issubdtype(np.asarray(it).dtype, np.inexact) and np.isnan(np.asarray(it)).any()
    ]
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise InputError(
            f"Weights of the model are NaN: {', '.join(found[:NAMED])}{more}.",
            where=where,
            hint="The training diverged, or the file is damaged: give the model from before.",
        )


def rows_of(split: Split) -> NDArray[np.int64]:
    """Rows at equal distances, from the first to the last."""
    row_bytes = sum(array[:1].nbytes for array in split.model_inputs(slice(0, 1)))
    count = max(1, min(MAX_ROWS, MAX_BYTES // max(1, row_bytes), len(split)))
    return np.unique(np.linspace(0, len(split) - 1, count).astype(np.int64))


def evidence(predict: Predict, split: Split) -> list[Evidence | None]:
    """What each of the baseline's outputs, and its targets if there are any, are on some rows."""
    rows = rows_of(split)
    outputs = predict(split.model_inputs(rows))
    targets = split.targets or [np.empty(0)] * len(outputs)
    pairs = zip(outputs, targets, strict=True)
    return [look(output, wanted[rows] if wanted.size else wanted) for output, wanted in pairs]


@dataclass(frozen=True)
class Scale:
    """Whether the inputs have the scale that the model was trained with, compared with others."""

    given: float
    rows: int
    figures: dict[float, dict[str, float]]
    """Scale -> metric -> value; empty where no other scale is likely."""
    presets: dict[PresetName, dict[str, float]] = field(default_factory=dict)
    """The same for what Keras's applications do to pixels; empty where there are no RGB images."""

    @property
    def better(self) -> float | None:
        """Another scale that is far better than the one given."""
        others = [it for it in self.figures if it != self.given]
        now = self.figures.get(self.given, {})
        return next((it for it in others if _is_far_better(self.figures[it], now)), None)

    @property
    def better_preset(self) -> PresetName | None:
        """A preset that is far better than the scale given, and better than any other."""
        if not self.presets or not self.figures:
            return None
        best = min(self.presets, key=lambda name: self.presets[name]["loss"])
        found = self.presets[best]
        is_best = all(found["loss"] < of_scale["loss"] for of_scale in self.figures.values())
        return best if is_best and _is_far_better(found, self.figures[self.given]) else None

    @property
    def is_right(self) -> bool:
        """Whether the one given is far better than the others."""
        others = [it for it in self.figures if it != self.given]
        now = self.figures.get(self.given, {})
        is_best = all(_is_far_better(now, self.figures[it]) for it in others)
        return bool(others) and is_best and self.better_preset is None

    @property
    def text(self) -> str:
        """Each scale with its figures."""
        parts = [
            f"with scale {scale:.17g} " + ", ".join(f"{key} {it:.4g}" for key, it in found.items())
            for scale, found in self.figures.items()
        ]
        return f"the baseline on {self.rows} training rows has {'; '.join(parts)}"

    def warnings(self, doubts: Sequence[str]) -> Iterator[str]:
        """What is wrong with the scale; ``doubts`` come from the data without the model."""
        preset = self.better_preset
        if preset is not None:
            with_it = ", ".join(f"{key} {it:.4g}" for key, it in self.presets[preset].items())
            yield (
                f"dataset.scale is {self.given:.17g} and looks wrong: {self.text}; preprocessed as "
                f"for {preset}: {with_it}. Set {setting(preset)} instead."
            )
        elif self.better is not None:
            yield (
                f"dataset.scale is {self.given:.17g} and looks wrong: {self.text}. "
                f"Set dataset.scale to {self.better:.17g}."
            )
        elif not self.is_right:
            yield from doubts


def _is_far_better(good: Mapping[str, float], bad: Mapping[str, float]) -> bool:
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
        for array, dtype, normalization in zip(
            split.inputs, split.dtypes, split.each_normalization, strict=True
        )
        if normalization is None and np.issubdtype(np.dtype(_numpy_name(dtype)), np.floating)
    ]
    if not any(_are_bytes(array) for array in scaled):
        return Scale(split.scale, len(rows), {})
    scales = dict.fromkeys([split.scale, *SCALES])
    figures = {it: _figures(predict, replace(split, scale=it), rows, objectives) for it in scales}
    presets = {
        name: _figures(predict, preset, rows, objectives) for name, preset in with_presets(split)
    }
    return Scale(split.scale, len(rows), figures, presets)


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


def warn_of_useless(work: Work, loaded: Loaded, baseline: Measured) -> None:
    """Warn, before all other warnings, where an output is no better than a constant answer."""
    objectives = loaded.evaluator.objectives
    found = baseline.artifact.useless_outputs
    if not found:
        return
    outputs = list(objectives)
    what = "; ".join(
        f"{name}: {text}" if len(outputs) > 1 else text for name, text in found.items()
    )
    causes = likely_causes(loaded, baseline, list(found))
    likely = " ".join(causes) or (
        "Likely causes: the labels are of another order or another data set than the model was "
        "trained on; dataset.scale is not what it was trained with; training.loss (from_logits) "
        "does not fit what the model answers."
    )
    end = "Whatever is made of it will be no better; the gate beats_constant fails such a job."
    if is_within_chance(baseline.artifact):
        likely += " Or so few test rows do not tell: give more of them." * (not causes)
        end = "The gate beats_constant fails such a job where its margin is as large as chance."
    work.journal.warn_first(
        f"THE MODEL THAT CAME IN IS {against_constant(baseline.artifact).upper()} ({what}). "
        f"{likely} {end}"
    )
