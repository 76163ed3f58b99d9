"""The model that came in, checked before anything is trained.

On some training rows: what outputs and targets are, and the inputs' scale. On the test rows:
whether the model is better than a constant answer. A cause is named with what speaks for it where
that can be tried in seconds: inputs of another scale, classes in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.datasets.data import Split
from job.manifest.keras_names import lower_is_better
from job.metrics.artifact import Measured
from job.metrics.gates import first_metric
from job.metrics.per_class import Labels
from job.metrics.quality import Inputs, Outputs, Predict, evaluate
from job.metrics.usefulness import against_constant, is_within_chance
from job.objective.evidence import Evidence, look
from job.objective.losses import Objective, Objectives
from job.result import metric_key
from job.worker.context import Loaded, Work

# Rows that are tried, and bytes of inputs, at most; a row is tried in any case.
MAX_ROWS = 256
MAX_BYTES = 1 << 23
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


def rows_of(split: Split) -> NDArray[np.int64]:
    """Rows at equal distances, from the first to the last."""
    row_bytes = sum(array[:1].nbytes for array in split.model_inputs(slice(0, 1)))
    count = max(1, min(MAX_ROWS, MAX_BYTES // max(1, row_bytes), len(split)))
    return np.unique(np.linspace(0, len(split) - 1, count).astype(np.int64))


def evidence(predict: Predict, split: Split) -> list[Evidence | None]:
    """What each of the baseline's outputs, and its targets, are on some training rows."""
    rows = rows_of(split)
    outputs = predict(split.model_inputs(rows))
    pairs = zip(outputs, split.targets, strict=True)
    return [look(output, targets[rows]) for output, targets in pairs]


@dataclass(frozen=True)
class Scale:
    """Whether the inputs have the scale that the model was trained with, compared with others."""

    given: float
    rows: int
    figures: dict[float, dict[str, float]]
    """Scale -> metric -> value; empty where no other scale is likely."""

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
        """What is wrong with the scale; ``doubts`` come from the data without the model."""
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
        if np.issubdtype(np.dtype("float32" if dtype == "bfloat16" else dtype), np.floating)
    ]
    if not any(_are_bytes(array) for array in scaled):
        return Scale(split.scale, len(rows), {})
    scales = dict.fromkeys([split.scale, *SCALES])
    figures = {it: _figures(predict, replace(split, scale=it), rows, objectives) for it in scales}
    return Scale(split.scale, len(rows), {it: found for it, found in figures.items() if found})


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
    causes = [
        *_scale(loaded, baseline, next(iter(found))),
        *(text for name in found for text in _order(loaded, baseline, name)),
    ]
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


def _scale(loaded: Loaded, baseline: Measured, output: str) -> list[str]:
    """Whether the model would work if the inputs were of another scale."""
    floats = [it.dtype.startswith("float") for it in loaded.inputs]
    if not any(floats):
        return []
    evaluator = loaded.evaluator
    rows = min(evaluator.rows, TRIED_ROWS)
    constants = baseline.artifact.constant_metrics[output]
    metric = first_metric(list(constants))
    key = metric_key(metric, output, list(evaluator.objectives))
    now = baseline.artifact.metrics[key]
    for factor in FACTORS:

        def scaled(inputs: Inputs, factor: float = factor) -> Outputs:
            given = [
                np.asarray(np.multiply(array, factor), array.dtype) if is_float else array
                for array, is_float in zip(inputs, floats, strict=True)
            ]
            return loaded.baseline.predict(tuple(given))

        value = evaluate(scaled, evaluator.read, rows, evaluator.objectives).metrics[key]
        lower = lower_is_better(metric)
        best = min(now, constants[metric]) if lower else max(now, constants[metric])
        if (value < best - CLEARLY * abs(best)) if lower else (value > best + CLEARLY):
            scale = loaded.dataset.test.scale * factor
            text = (
                f"It is most likely the scale: with dataset.scale {scale:.6g} its {metric} is "
                f"{value:.4g} on the first {rows:,} test rows."
            )
            return [text]
    return []


def _order(loaded: Loaded, baseline: Measured, output: str) -> list[str]:
    """Whether the model would work if the classes were numbered otherwise."""
    objective: Objective = loaded.evaluator.objectives[output]
    given = baseline.outputs[output]
    labels = Labels.of(objective.loss_name, given.shape[-1], objective.last_axis)
    if labels.kind not in ("indices", "rows") or labels.classes > MOST_CLASSES:
        return []
    index = list(loaded.evaluator.objectives).index(output)
    wanted = labels.indices(loaded.dataset.test.targets[index][: len(given)]).ravel()
    taken = given.argmax(axis=-1).ravel()
    table = np.zeros((labels.classes, labels.classes), np.int64)
    np.add.at(table, (taken, wanted), 1)
    meant = table.argmax(axis=1)
    mapped = table.max(axis=1).sum() / max(1, table.sum())
    most_common = table.sum(axis=0).max() / max(1, table.sum())
    is_order = len(set(meant.tolist())) > labels.classes / 2
    if not is_order or mapped < max(most_common, np.trace(table) / table.sum()) + CLEARLY:
        return []
    pairs = [(it, int(to)) for it, to in enumerate(meant) if table[it].sum() and it != to]
    shown = ", ".join(f"{it} for {to}" for it, to in pairs[:SHOWN])
    more = " and so on" if len(pairs) > SHOWN else ""
    text = (
        f"It is most likely the order of the classes: the model answers {shown}{more}; numbered "
        f"so, its accuracy is {mapped:.4g}."
    )
    return [text]
