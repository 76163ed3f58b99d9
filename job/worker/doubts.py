"""Whether the model that came in works at all: said before anything is trained, with the causes.

A cause is named with what speaks for it where that can be tried in seconds: inputs of another
scale, classes in another order. The others are listed.
"""

from __future__ import annotations

import numpy as np

from job.manifest.keras_names import lower_is_better
from job.metrics.artifact import Measured
from job.metrics.labels import Labels
from job.metrics.quality import Inputs, Outputs, evaluate
from job.metrics.usefulness import first_metric
from job.objective.losses import Objective
from job.result import metric_key
from job.worker.context import Work
from job.worker.load_inputs import Loaded

# Factors on the inputs that are tried, on so many test rows.
SCALES = (1 / 255, 255.0)
TRIED_ROWS = 1000
# A cause is named where it would make this much of a difference: of an accuracy, or of an error's
# share.
CLEARLY = 0.1
MOST_CLASSES = 1000
SHOWN = 5


def warn_of_useless(work: Work, loaded: Loaded, baseline: Measured) -> None:
    """Warn, before every other warning, where an output is no better than a constant answer."""
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
    work.journal.warn_first(
        f"THE MODEL THAT CAME IN IS NO BETTER THAN A CONSTANT ANSWER ({what}). {likely} Whatever "
        "is made of it will be no better; the gate beats_constant fails such a job."
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
    for factor in SCALES:

        def scaled(inputs: Inputs, factor: float = factor) -> Outputs:
            given = [
                np.asarray(np.multiply(array, factor), array.dtype) if is_float else array
                for array, is_float in zip(inputs, floats, strict=True)
            ]
            return loaded.baseline.predict(tuple(given))

        value = evaluate(scaled, evaluator.read, rows, evaluator.objectives, _silent).metrics[key]
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


def _silent(_: int, __: int) -> None:
    """It takes a moment."""


def _order(loaded: Loaded, baseline: Measured, output: str) -> list[str]:
    """Whether the model would work if the classes were numbered otherwise."""
    objective: Objective = loaded.evaluator.objectives[output]
    given = baseline.outputs[output]
    labels = Labels.of(objective.loss_name, given.shape[-1])
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
