"""The inputs: read, judged and checked against each other before any work is done.

What does not fit is refused here, in seconds: a model that can't be loaded, arrays of another
shape, labels out of range, a metric that has no meaning for the loss.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from job import machine
from job.datasets.checks import check_inputs, check_targets
from job.datasets.data import Dataset
from job.datasets.npz import open_npz
from job.datasets.shapes import fix_shapes
from job.journal import Journal, Stage
from job.manifest.job import JobConfig
from job.metrics.artifact import KerasFile, Ruler
from job.metrics.choose import choose
from job.metrics.objective import Objectives
from job.metrics.quality import Predict, keras_predictor
from job.models import layers, random_layers
from job.models.load import SUFFIXES, ModelFile, optimizer_bytes, reference_bytes
from job.models.load import load as load_model
from job.result import TensorSpec
from job.safety import folder
from job.safety.judge import Judged

# How an archive of a SavedModel begins -> the end of its name.
PACKED = {b"PK": "zip", b"\x1f\x8b": "tar.gz", b"BZh": "tar.bz2", b"\xfd7zXZ": "tar.xz"}


@dataclass(frozen=True)
class Files:
    """Where things are."""

    model: Judged
    dataset: tuple[Path, ...]
    """Its files, in the order in which their rows are joined."""
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
    inputs: Sequence[TensorSpec]
    """The model's inputs, without open dimensions."""
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
    draws = _draws(job, found, stage, journal)
    inputs, outputs = layers.signature(found.model, job.model.uri)
    split = job.training.validation_split
    dataset = open_npz(files.dataset, job.dataset, inputs, outputs, split)
    for warning in check_inputs(dataset, inputs, scales=layers.scales_inputs(found.model)):
        journal.warn(warning)
    fixed, decided = fix_shapes(dataset, inputs, job.model.input_shapes)
    for text in decided:
        stage.decide(text)
    objectives = choose(job.training, job.gates, found.model, outputs, dataset.train.targets)
    for name, it in objectives.items():
        of = f"{name}: " if len(outputs) > 1 else ""
        stage.decide(f"{of}loss {it.loss_name}: {it.reason}")
    dataset = _with_checked_targets(dataset, outputs, objectives)
    ruler = Ruler(
        read=dataset.test.read,
        rows=len(dataset.test),
        objectives=objectives,
        input_names=[spec.name for spec in inputs],
        threads=machine.cores(),
        draws=draws,
    )
    copy = _copy(files.model, files.output)
    predict = keras_predictor(found.model)
    measured = predict if found.original is found.model else keras_predictor(found.original)
    reference = reference_bytes(files.model, found)
    baseline = KerasFile(
        *(copy, found.format, found.original, measured, inputs, outputs, reference, state)
    )
    return Loaded(found, predict, baseline, fixed, dataset, ruler)


def _draws(job: JobConfig, found: ModelFile, stage: Stage, journal: Journal) -> int:
    """How many passes every file is measured in: several only where its answers are random."""
    for text in found.notes:
        stage.decide(text)
    draws = job.model.draws
    if found.effects.random:
        journal.warn(random_layers.note(found.effects, draws))
        return draws
    if draws > 1:
        journal.warn(f"model.draws is {draws}, and the model is not random: one pass is enough.")
    return 1


def _copy(model: Judged, output: Path) -> Path:
    """The model as it came, where its figures can be checked; a folder becomes a tar."""
    path = output / f"baseline{SUFFIXES[model.format]}"
    if model.path.is_dir():
        with path.open("wb") as file:
            folder.pack(model.path, file, model.where)
        return path
    if model.format == "saved_model":
        with model.path.open("rb") as file:
            begins = file.read(6)
        packed = next((end for magic, end in PACKED.items() if begins.startswith(magic)), "tar")
        path = path.with_suffix(f".{packed}")
    shutil.copyfile(model.path, path)
    return path


def _with_checked_targets(
    dataset: Dataset, outputs: Sequence[TensorSpec], objectives: Objectives
) -> Dataset:
    """The data set, its targets with as many axes as the outputs; class indices have one less."""
    losses = [it.loss_name for it in objectives.values()]
    check_targets(dataset, outputs, losses)
    ranks = [
        0 if loss == "sparse_categorical_crossentropy" else len(spec.shape) + 1
        for spec, loss in zip(outputs, losses, strict=True)
    ]
    return dataset.with_target_ranks(ranks)
