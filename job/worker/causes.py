"""Why the model that came in is useless on these rows: what would make it work is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from job.manifest.keras_names import lower_is_better
from job.manifest.preprocess import PreprocessConfig, PresetName
from job.metrics.artifact import Measured
from job.metrics.per_class import Labels
from job.metrics.quality import Samples, evaluate
from job.metrics.usefulness import first_metric
from job.objective.losses import Objective
from job.result.result import metric_key
from job.result.specs import TensorSpec
from job.rows.data import Split
from job.rows.normalization import Normalization, of
from job.worker.context import Loaded

# Factors on the inputs that are tried, on so many test rows; and a preset of each kind.
FACTORS = (1 / 255, 255.0)
PRESETS: tuple[PresetName, ...] = ("mobilenet_v2", "resnet50", "densenet")
TRIED_ROWS = 1000
# A cause is named where it would make this much of a difference: of an accuracy, or of an error's
# share.
CLEARLY = 0.1
MOST_CLASSES = 1000
SHOWN = 5


@dataclass(frozen=True)
class Cause:
    """What would make the model work."""

    text: str
    metric: str
    value: float
    """What the metric would be."""


def likely_causes(loaded: Loaded, baseline: Measured, outputs: Sequence[str]) -> list[str]:
    """What would make the outputs work; of two causes that explain the same, the better one.

    Args:
        loaded: The inputs.
        baseline: The model that came in, as it was measured.
        outputs: Those that are no better than a constant, at least one.
    """
    found = [*_inputs(loaded, baseline, outputs[0])]
    found += [cause for name in outputs for cause in _order(loaded, baseline, name)]
    if len(outputs) == 1 and len({cause.metric for cause in found}) == 1:
        found = [max(found, key=lambda cause: cause.value)]
    return [cause.text for cause in found]


def _inputs(loaded: Loaded, baseline: Measured, output: str) -> Iterator[Cause]:
    """Whether the model would work if the inputs were scaled or preprocessed otherwise."""
    evaluator = loaded.evaluator
    rows = min(evaluator.samples.count, TRIED_ROWS)
    constants = baseline.artifact.constant_metrics[output]
    metric = first_metric(list(constants))
    key = metric_key(metric, output, list(evaluator.objectives))
    now, lower = baseline.artifact.metrics[key], lower_is_better(metric)
    best = min(now, constants[metric]) if lower else max(now, constants[metric])
    least = best - CLEARLY * abs(best) if lower else best + CLEARLY
    found = []
    for what, split in _otherwise(loaded):
        samples = Samples(split.read, rows)
        value = evaluate(loaded.baseline.predict, samples, evaluator.objectives).metrics[key]
        if value < least if lower else value > least:
            found.append((value, what))
    if found:
        value, what = (min if lower else max)(found)
        text = f"{what} its {metric} is {value:.4g} on the first {rows:,} test rows."
        yield Cause(text, metric, value)


def _otherwise(loaded: Loaded) -> Iterator[tuple[str, Split]]:
    """The test rows with other scales, or with what Keras's applications do to pixels."""
    test = loaded.dataset.test
    is_float = [spec.dtype.startswith("float") for spec in loaded.inputs]
    if not any(is_float):
        return
    if not test.normalizations:
        for factor in FACTORS:
            scale = test.scale * factor
            what = f"It is most likely the scale: with dataset.scale {scale:.6g}"
            yield what, replace(test, scale=scale)
    for preset, split in with_presets(test):
        yield f"It is most likely the preprocessing: with {setting(preset)}", split


def with_presets(split: Split) -> Iterator[tuple[PresetName, Split]]:
    """The same rows, their RGB images preprocessed as Keras's applications do; one of each kind."""
    for preset in PRESETS:
        done: list[Normalization | None] = []
        for rows, dtype in zip(split.inputs, split.dtypes, strict=True):
            spec = TensorSpec("", rows.shape[1:], dtype)
            is_rgb = len(spec.shape) == 3 and spec.shape[-1] == 3
            fits = is_rgb and dtype.startswith("float")
            done.append(of(PreprocessConfig(preset=preset), spec) if fits else None)
        if any(done):
            yield preset, replace(split, scale=1.0, normalizations=tuple(done))


def setting(preset: PresetName) -> str:
    """How a manifest asks for a preset."""
    return f'dataset.preprocess [{{"preset": "{preset}"}}]'


def _order(loaded: Loaded, baseline: Measured, output: str) -> Iterator[Cause]:
    """Whether the model would work if the classes were numbered otherwise."""
    objective: Objective = loaded.evaluator.objectives[output]
    given = baseline.outputs[output]
    labels = Labels.of(objective.loss_name, given.shape[-1], objective.last_axis)
    if labels.kind not in ("indices", "rows") or labels.classes > MOST_CLASSES:
        return
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
        return
    pairs = [(it, int(to)) for it, to in enumerate(meant) if table[it].sum() and it != to]
    shown = ", ".join(f"{it} for {to}" for it, to in pairs[:SHOWN])
    more = " and so on" if len(pairs) > SHOWN else ""
    yield Cause(
        f"It is most likely the order of the classes: the model answers {shown}{more}; numbered "
        f"so, its accuracy is {mapped:.4g}.",
        "accuracy",
        float(mapped),
    )
