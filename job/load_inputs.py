"""The inputs: read, judged and checked against each other before any work is done.

What does not fit is refused here, in seconds: a model that can't be loaded, arrays of another
shape, labels out of range, a metric that has no meaning for the loss.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from job import machine
from job.datasets.checks import check_inputs, check_targets
from job.datasets.data import Dataset
from job.datasets.npz import open_npz
from job.manifest.job import JobConfig
from job.metrics.artifact import KerasFile, Ruler
from job.metrics.objective import choose
from job.metrics.quality import Predict, keras_predictor
from job.models import folder, layers
from job.models.judge import Judged
from job.models.load import SUFFIXES, ModelFile, optimizer_bytes
from job.models.load import load as load_model
from job.progress import Journal, Stage


@dataclass(frozen=True)
class Files:
    """Where things are."""

    model: Judged
    dataset: Path
    output: Path
    """The folder of the results; the model is copied there."""


@dataclass(frozen=True)
class Loaded:
    """The inputs, once they are known to be good."""

    file: ModelFile
    """The model, in Keras 2 and as it came."""
    predict: Predict
    """The Keras 2 model's forward pass; it follows the weights while they are pruned."""
    baseline: KerasFile
    dataset: Dataset
    ruler: Ruler


def load(job: JobConfig, files: Files, stage: Stage, journal: Journal) -> Loaded:
    """Read the model and the data, and refuse what does not fit.

    Args:
        job: What is asked.
        files: Where things are.
        stage: Is told what was decided.
        journal: Is told what looks wrong and may be meant.

    Raises:
        InputError: Where an input is refused.
    """
    found = load_model(files.model, trust=job.model.trust)
    state = optimizer_bytes(files.model)
    if state:
        text = f"{state:,} bytes of the model file are an optimizer's state"
        journal.warn(f"{text}; sizes are compared without it.")
    specs, output = layers.signature(found.model, job.model.uri)
    dataset = open_npz(files.dataset, job.dataset, specs, job.training.validation_split)
    for warning in check_inputs(dataset, specs, scales=layers.scales_inputs(found.model)):
        journal.warn(warning)
    objective = choose(job.training, found.model, dataset.train.targets, job.gated_metrics)
    stage.decide(f"loss {objective.loss_name}: {objective.reason}")
    check_targets(dataset, output, objective.loss_name)
    if objective.loss_name != "sparse_categorical_crossentropy":
        dataset = dataset.with_target_rank(len(output.shape) + 1)
    ruler = Ruler(
        read=dataset.test.read,
        rows=len(dataset.test),
        objective=objective,
        input_names=[spec.name for spec in specs],
        threads=machine.cores(),
    )
    copy = files.output / f"baseline{SUFFIXES[found.format]}"
    _copy(files.model, copy)
    predict = keras_predictor(found.model)
    measured = predict if found.original is found.model else keras_predictor(found.original)
    baseline = KerasFile(copy, found.format, found.original, measured, specs, [output], state)
    return Loaded(found, predict, baseline, dataset, ruler)


def _copy(model: Judged, path: Path) -> None:
    if model.path.is_dir():
        with path.open("wb") as file:
            folder.pack(model.path, file, model.where)
    else:
        shutil.copyfile(model.path, path)
