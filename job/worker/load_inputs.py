"""The inputs: read, judged and checked against each other before any work is done.

What does not fit is refused here, in seconds: a model that can't be loaded, arrays of another
shape, labels out of range, a metric that has no meaning for the loss.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from job import machine
from job.datasets.open_dataset import open_dataset
from job.datasets.source import Source
from job.datasets.text_vocabulary import read_vocabulary
from job.events import Journal, Stage
from job.manifest.datasets import DatasetConfig, TextConfig
from job.manifest.gates import CONFIDENCE, MinClassRecallGate
from job.manifest.job import JobConfig
from job.metrics.artifact import Evaluator, KerasFile
from job.metrics.fidelity import check_fidelity
from job.metrics.quality import Samples, keras_predictor
from job.models import layers, random_layers
from job.models.load import ModelFile, compare, optimizer_bytes, reference_bytes
from job.models.load import load as load_model
from job.models.random_inputs import found_shapes, indexed_inputs
from job.objective.answers import Answer, answers_of
from job.objective.choose import Known, choose
from job.objective.losses import Objectives
from job.result.artifact import FORMATS
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split, calibration_rows
from job.rows.lazy import Array, LazyRows
from job.rows.shapes import fix_shapes
from job.rows.store import Store
from job.rows.synthetic import draw_rows
from job.rows.validation import unscaled_bytes
from job.safety import compiled
from job.safety.archive import pack
from job.safety.judge import Judged
from job.worker import baseline_checks
from job.worker.check_indices import check_indices
from job.worker.context import Files, Loaded
from job.worker.data_notes import describe_splits, doubts, sources
from job.worker.splits import split

# On so many rows of each split a rebuilt model is compared, and of so many bytes in all.
COMPARED_ROWS = 32
COMPARED_BYTES = 1 << 23

# Weights, masks, gradients and an optimizer's two moments: at least so many times the weights.
TRAINING_FACTOR = 5


def load(job: JobConfig, files: Files, journal: Journal) -> Loaded:
    """Read the model and the data, and refuse what does not fit.

    Args:
        job: The manifest.
        files: The local files.
        journal: Receives decisions, and warnings of what looks wrong and may be meant.

    Raises:
        InputError: Where an input is refused.
    """
    with journal.stage("load") as stage:
        loaded = _load(job, files, stage, journal)
    journal.warn(*memory_warnings(loaded, is_trained=_changes_weights(job)))
    journal.warn(*doubts(job, loaded))
    return loaded


def _load(job: JobConfig, files: Files, stage: Stage, journal: Journal) -> Loaded:
    found = load_model(files.model, trust=job.model.trust)
    state = optimizer_bytes(files.model)
    if state:
        text = f"{state:,} bytes of the model file are an optimizer's state"
        journal.warn(f"{text}; sizes are compared without it.")
    baseline_checks.refuse_nan(found.original, job.model.uri)
    draws = _draws(job, found, stage, journal)
    inputs, outputs = layers.signature(found.model, job.model.uri)
    dataset, class_names = _read(job, files, found.model, (inputs, outputs), stage, journal)
    stage.decide(*sources(job))
    doubts = unscaled_bytes(dataset.train, inputs, scales=layers.scales_inputs(found.model))
    fixed, decided = fix_shapes(dataset, inputs, job.model.input_shapes)
    stage.decide(*decided)
    if compare_on_rows(found, dataset, job.model.uri):
        stage.decide("rebuilt for Keras 2, it answers the same to rows of the data set")
    predict = keras_predictor(found.model)
    measured = predict if found.original is found.model else keras_predictor(found.original)
    names = [spec.name for spec in outputs]
    # What the targets are is told by those of the training rows, or else of the test rows.
    labelled = dataset.train if dataset.train.targets else dataset.test
    known = Known(
        baseline_checks.evidence(measured, labelled),
        compiled.losses(files.model, names),
        compiled.weights(files.model, names),
    )
    objectives = _objectives(job, found.model, outputs, labelled.targets, known)
    for name, it in objectives.items():
        of = f"{name}: " if len(outputs) > 1 else ""
        stage.decide(f"{of}loss {it.loss_name}: {it.reason}")
    answers = answers_of(job.training, found.model, outputs, objectives, known)
    check_fidelity(job.gates, answers)
    weighs = bool(dataset.train.weights) and _changes_weights(job)
    dataset, plan, used = split(job, dataset, outputs, objectives, journal)
    warnings = list(doubts)
    if objectives and dataset.train.targets:
        scale = baseline_checks.check_scale(measured, dataset.train, objectives)
        if scale.is_right:
            stage.decide(scale.text)
        warnings = list(scale.warnings(doubts))
    journal.warn(*baseline_checks.masked(found.model, names), *warnings)
    copy = _copy(files.model, files.output)
    reference = reference_bytes(files.model, found)
    baseline = KerasFile(
        "baseline", copy, found.format, found.original, measured, inputs, outputs, reference, state
    )
    return Loaded(
        *(found, predict, baseline, fixed, dataset),
        splits=describe_splits(job, dataset),
        objectives=objectives,
        first_outputs=measured(dataset.test.model_inputs(slice(0, 1))),
        evaluator=_evaluator(job, dataset.test, inputs, objectives, answers, draws),
        plan=plan,
        class_weights=used,
        has_sample_weights=weighs,
        class_names=class_names,
    )


def _objectives(
    job: JobConfig,
    model: Any,
    outputs: list[TensorSpec],
    targets: Sequence[Array],
    known: Known,
) -> Objectives:
    """The loss and metrics of each output; none where there are no labels."""
    if not targets:
        return {}
    return choose(job.training, job.gates, model, outputs, targets, known)


def _evaluator(
    job: JobConfig,
    test: Split,
    inputs: Sequence[TensorSpec],
    objectives: Objectives,
    answers: Mapping[str, Answer],
    draws: int,
) -> Evaluator:
    """What measures every file, on the test rows."""
    return Evaluator(
        samples=Samples(test.read, len(test)),
        objectives=objectives if test.targets else {},
        answers=answers,
        confidences=_confidences(job),
        is_synthetic=job.dataset is None,
        input_names=[spec.name for spec in inputs],
        threads=machine.cores(),
        named_classes=frozenset(
            gate.class_index
            for gate in job.gates
            if isinstance(gate, MinClassRecallGate) and gate.class_index is not None
        ),
        draws=draws,
    )


def _read(
    job: JobConfig,
    files: Files,
    model: Any,
    ends: tuple[list[TensorSpec], list[TensorSpec]],
    stage: Stage,
    journal: Journal,
) -> tuple[Dataset, Sequence[str]]:
    """All rows: of files, or drawn where there are none; nothing is held out for validation. And
    the names of classes, where the data set has them.
    """
    config, seed = job.dataset, job.training.seed
    inputs, outputs = ends
    if config is None:
        shapes = [
            tuple(job.model.input_shapes.get(spec.name, shape))
            for spec, shape in zip(inputs, found_shapes(model), strict=True)
        ]
        fixed = [replace(spec, shape=shape) for spec, shape in zip(inputs, shapes, strict=True)]
        train, test = draw_rows(fixed, job.model.input_ranges, indexed_inputs(model), seed)
        return Dataset(train, None, test), ()
    shutil.rmtree(files.rows, ignore_errors=True)  # a child that crashed may have left it
    files.rows.mkdir()
    store = Store(files.rows, config.memory_bytes, config.cache_bytes)
    source = Source(files.dataset, inputs, outputs, store, machine.cores())
    found = open_dataset(source, config, seed)
    stage.decide(*found.decisions)
    journal.warn(*found.opened.warnings)
    check_indices(model, found.dataset, inputs, lambda: _hint_of_indices(source, config))
    return found.dataset, found.opened.class_names


def _hint_of_indices(source: Source, config: DatasetConfig) -> str:
    if not isinstance(config, TextConfig):
        return "Give the model that was trained on these integers, or correct the data."
    largest = read_vocabulary(source, config).largest
    return (
        f"dataset.vocabulary is {config.vocabulary}, whose largest integer is {largest:,}: name "
        "the one that the model was trained with, and check dataset.index_offset."
    )


def _changes_weights(job: JobConfig) -> bool:
    return job.prune is not None or job.is_trained


def _confidences(job: JobConfig) -> list[float]:
    """The levels of intervals: 0.95, and those that gates ask for."""
    asked = [getattr(gate, "confidence", None) for gate in job.gates]
    return list(dict.fromkeys([CONFIDENCE, *(it for it in asked if it is not None)]))


def compare_on_rows(file: ModelFile, dataset: Dataset, where: str) -> bool:
    """Compare a Keras 3 model with the one that was rebuilt of it, on rows of both splits.

    Returns:
        Whether there were two models to compare.

    Raises:
        InputError: Where they answer differently.
    """
    done = False
    for rows in (dataset.train, dataset.test):
        row_bytes = sum(it.nbytes for it in rows.model_inputs(slice(0, 1)))
        most = max(1, min(COMPARED_ROWS, COMPARED_BYTES // max(1, row_bytes)))
        inputs = rows.model_inputs(calibration_rows(len(rows), most, random_layers.SEED))
        done = compare(file, inputs, where)
    return done


def _draws(job: JobConfig, found: ModelFile, stage: Stage, journal: Journal) -> int:
    """How many passes every file is measured in: several only where the model is random."""
    stage.decide(*found.notes)
    journal.warn(*found.warnings)
    draws = job.model.draws
    if found.effects.random:
        journal.warn(random_layers.note(found.effects, draws))
        return draws
    if draws > 1:
        journal.warn(f"model.draws is {draws}, and the model is not random: one pass is enough.")
    return 1


def _copy(model: Judged, output: Path) -> Path:
    """Copy the model to the output as it came; a folder becomes a tar."""
    path = output / f"baseline{FORMATS[model.format].suffix}"
    if model.path.is_dir():
        with path.open("wb") as file:
            pack(model.path, file, model.where)
        return path
    if model.format == "saved_model":
        with model.path.open("rb") as file:
            begins = file.read(6)
        for magic, suffix in FORMATS[model.format].packed.items():
            if begins.startswith(magic):
                path = output / f"baseline{suffix}"
    shutil.copyfile(model.path, path)
    return path


def memory_warnings(loaded: Loaded, *, is_trained: bool) -> list[str]:
    """A warning where the job surely does not fit into memory.

    It counts this process with the model and the data, TensorFlow's copy of the training rows, and
    what training holds for each weight; not the layers' activations.
    """
    limit = machine.memory_bytes()
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    more = 0
    if is_trained:
        train, weights = loaded.dataset.train, loaded.file.model.weights
        arrays = [it for it in (*train.inputs, *train.targets) if not isinstance(it, LazyRows)]
        more = sum(it.nbytes for it in arrays)
        weight_bytes = sum(int(np.prod(it.shape)) * it.dtype.size for it in weights)
        more += (TRAINING_FACTOR - 1) * weight_bytes
    if now + more <= limit:
        return []
    text = (
        f"The job needs {(now + more) >> 20:,} MiB of memory and more; {limit >> 20:,} MiB are "
        "allowed. It will most likely be killed: give it more, or a smaller data set."
    )
    return [text]
