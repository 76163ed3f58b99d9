"""What each layer alone can lose: every layer is changed, measured without training, and restored.

The rows are the held-out ones, so that nothing is chosen by the test set; where none are held out,
they are a sample of the training rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras

from job.errors import StageError
from job.events import Journal, Stage
from job.manifest.job import JobConfig
from job.manifest.keras_names import lower_is_better
from job.manifest.sensitivity import SensitivityConfig
from job.metrics.fidelity import fidelity
from job.metrics.quality import Quality, Samples, evaluate, mean_of_passes
from job.models import prunable
from job.models.layers import layers_of, users_name
from job.objective.losses import Objectives
from job.result.artifact import file_digest
from job.result.figures import FidelityResult
from job.result.layer_trials import (
    LayerSensitivity,
    SensitivityResult,
    TrialResult,
    automatic,
)
from job.result.result import metric_key
from job.rows.data import Split, calibration_rows
from job.stages.trial_weights import Weights, pruned, rounded
from job.worker.checkpoint_formats import record_of
from job.worker.context import Files, Loaded, Work
from job.worker.load_inputs import load

# A small loss: of a metric between 0 and 1, in points; of a loss or an error, a share of it.
SMALL_POINTS = 0.01
SMALL_SHARE = 0.05
# Weights that a .tflite quantizes, by the ends of their names, beside those that can be pruned.
QUANTIZED = ("kernel", "embeddings")
RECORD = record_of(SensitivityResult)


def sensitivity(work: Work, loaded: Loaded) -> SensitivityResult | None:
    """The sensitivity of each layer, where it is asked for: restored, or measured.

    To be called before anything changes the model's weights.
    """
    config = work.job.sensitivity
    if config is None:
        return None
    with work.journal.stage("sensitivity") as stage:
        return work.checkpoints.restore_or_make(
            "sensitivity",
            file_digest(loaded.baseline.path)[1],
            RECORD,
            lambda: measure(config, loaded, work.job.training.seed, stage),
            stage,
        )


def inspect(manifest: dict[str, Any], files: Files, journal: Journal) -> SensitivityResult:
    """The sensitivity of a model by the data set of a job, without the job.

    Args:
        manifest: The job, with its defaults.
        files: The inputs, the model judged; and an empty folder.
        journal: Receives what happens.

    Raises:
        InputError: Where the model and the data do not fit each other.
    """
    job = JobConfig.model_validate(manifest)
    tf_keras.utils.set_random_seed(job.training.seed)
    tf.config.experimental.enable_op_determinism()
    loaded = load(job, files, journal)
    with journal.stage("sensitivity") as stage:
        config = job.sensitivity or SensitivityConfig()
        return measure(config, loaded, job.training.seed, stage)


def measure(
    config: SensitivityConfig, loaded: Loaded, seed: int, stage: Stage
) -> SensitivityResult:
    """Change every layer in turn, and measure what that costs; the model is as it was afterwards.

    Args:
        config: What is tried.
        loaded: The model and its data.
        seed: Determines the sample of rows.
        stage: Receives progress, and what each layer can lose within a small loss.
    """
    where, rows = _rows(loaded, config.rows, seed)
    evaluator = _Evaluator(loaded, rows)
    metric, baseline = evaluator.metric
    lower = lower_is_better(metric) and metric != "noise"
    model = loaded.file.model
    parts = [(path, layer, own) for path, layer in layers_of(model) if (own := _kernels(layer))]
    total = len(parts) * (len(config.sparsities) + len(config.weight_bits))
    layers: list[LayerSensitivity] = []
    done = 0
    for path, layer, kernels in parts:
        trials = []
        for trial in _trials(config, evaluator, layer, kernels):
            trials.append(trial)
            done += 1
            stage.advance(done, total)
        layers.append(
            LayerSensitivity(
                name=users_name(path),
                type=type(layer).__name__,
                weights=sum(math.prod(it.shape) for it in kernels),
                share=layer.count_params() / model.count_params(),
                sparsities=[it for it in trials if it.sparsity is not None],
                weight_bits=[it for it in trials if it.weight_bits is not None],
            )
        )
    found = SensitivityResult(
        split=where,
        rows=len(rows),
        metric=metric,
        baseline=baseline,
        small_drop=SMALL_SHARE * abs(baseline) if lower else SMALL_POINTS,
        metrics=evaluator.unchanged.metrics,
        layers=layers,
    )
    stage.advance(total, total)
    stage.decide(*_summary(found))
    return found


def _rows(
    loaded: Loaded, most: int, seed: int
) -> tuple[Literal["validation", "training", "synthetic"], Split]:
    """The rows to measure on: held-out ones where there are any; of many, a sample."""
    held_out = loaded.dataset.validation
    split = loaded.dataset.train if held_out is None else held_out
    if len(split) > most:
        chosen = calibration_rows(len(split), most, seed)
        split = replace(
            split,
            inputs=tuple(array[chosen] for array in split.inputs),
            targets=tuple(array[chosen] for array in split.targets),
            weights=(),
        )
    if loaded.evaluator.is_synthetic:
        return "synthetic", split
    return ("training" if held_out is None else "validation"), split


def _summary(found: SensitivityResult) -> Iterator[str]:
    """What is measured, and what each layer alone can lose."""
    yield f"{found.metric} {found.baseline:.4f} on {found.rows:,} {found.split} rows"
    for name, choice in automatic(found.layers, found.small_drop, share=1).items():
        sparsity = "no sparsity" if choice.sparsity is None else f"sparsity {choice.sparsity:g}"
        bits = "no width" if choice.weight_bits is None else f"{choice.weight_bits} bits"
        yield f"{name} alone, within {found.small_drop:.3g}: {sparsity}, {bits} that was tried"


@dataclass(frozen=True)
class _Kernel:
    """A variable, and what it was."""

    variable: tf.Variable
    value: Weights
    channel_axes: Sequence[int]
    is_prunable: bool


def _kernels(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The kernels of a layer, each once; a frozen layer's too, which are quantized all the same."""
    own = [
        it
        for it in layer.weights
        if len(it.shape) > 1 and it.name.split(":")[0].endswith(QUANTIZED) and it.dtype.is_floating
    ]
    found = {id(it): it for it in [*prunable.kernels(layer), *own]}
    return list(found.values())


def channel_axes(layer: tf_keras.layers.Layer, variable: tf.Variable) -> tuple[int, ...]:
    """The axes of a kernel along which each index has a scale of its own in a ``.tflite``."""
    kind = type(layer).__name__
    if kind == "Embedding":
        return ()
    if "depthwise" in variable.name.rpartition("/")[2]:
        return (-2, -1)
    return (-2,) if kind.endswith("Transpose") else (-1,)


def _trials(
    config: SensitivityConfig,
    evaluator: _Evaluator,
    layer: tf_keras.layers.Layer,
    kernels: Sequence[tf.Variable],
) -> Iterator[TrialResult]:
    """Every sparsity and every width of one layer."""
    can_be_pruned = {id(it) for it in prunable.kernels(layer)}
    given = [
        _Kernel(it, it.numpy(), channel_axes(layer, it), id(it) in can_be_pruned) for it in kernels
    ]
    try:
        for sparsity in config.sparsities if can_be_pruned else ():
            for kernel in given:
                if kernel.is_prunable:
                    kernel.variable.assign(pruned(kernel.value, sparsity))
            yield evaluator.trial(sparsity=sparsity)
        for bits in config.weight_bits:
            for kernel in given:
                kernel.variable.assign(rounded(kernel.value, bits, kernel.channel_axes))
            yield evaluator.trial(weight_bits=bits)
    finally:
        for kernel in given:
            kernel.variable.assign(kernel.value)


class _Evaluator:
    """Measures the model as it is, against itself before any change."""

    def __init__(self, loaded: Loaded, rows: Split) -> None:
        self._loaded = loaded
        self._samples = Samples(rows.read, len(rows))
        self._objectives: Objectives = loaded.objectives if rows.targets else {}
        self.unchanged = self._measure()
        self._outputs = dict(zip(loaded.evaluator.outputs, self.unchanged.outputs, strict=True))

    @property
    def metric(self) -> tuple[str, float]:
        """What drops are of, and the unchanged model's value."""
        if not self._objectives:
            kinds = {it.kind for it in self._loaded.evaluator.answers.values()}
            return ("noise", 0.0) if "numbers" in kinds else ("agreement", 1.0)
        ((output, objective), *more) = self._objectives.items()
        listed = objective.result().metrics
        name = "loss" if more or not listed else metric_key(listed[0], output, [output])
        return name, self.unchanged.metrics[name]

    def trial(self, sparsity: float | None = None, weight_bits: int | None = None) -> TrialResult:
        """What the model is now worth."""
        try:
            found = self._measure()
        except StageError:  # the outputs are not finite
            return TrialResult(sparsity=sparsity, weight_bits=weight_bits, drop=None)
        answers = self._loaded.evaluator.answers
        near = fidelity(self._outputs, found.outputs, answers, []).values()
        agreements = [it.agreement for it in near if it.agreement is not None]
        ratios = [it.snr_db for it in near if it.snr_db is not None]
        return TrialResult(
            sparsity=sparsity,
            weight_bits=weight_bits,
            drop=self._drop(found, list(near), agreements),
            metrics=found.metrics,
            agreement=min(agreements, default=None),
            snr_db=min(ratios, default=None),
        )

    def _measure(self) -> Quality:
        return mean_of_passes(
            lambda advance: evaluate(
                self._loaded.predict, self._samples, self._objectives, advance
            ),
            self._loaded.evaluator.draws,
            lambda _, __: None,
        )

    def _drop(
        self, found: Quality, near: Sequence[FidelityResult], agreements: Sequence[float]
    ) -> float:
        metric, baseline = self.metric
        if metric == "noise":
            return max(_noise(it) for it in near)
        if metric == "agreement":
            return 1 - min(agreements)
        drop = baseline - found.metrics[metric]
        return -drop if lower_is_better(metric) else drop


def _noise(near: FidelityResult) -> float:
    """The mean squared difference as a share of the variance; 1 where there is no variance."""
    if near.snr_db is None:
        return float(near.mean_squared_error > 0)
    return float(np.power(10, -near.snr_db / 10))
