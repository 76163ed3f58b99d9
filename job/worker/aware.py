"""Quantization-aware training of variants: the weights that a variant's file holds are trained.

The pruned or clustered model is trained further with its kernels on the grid of the file; its zeros
and clusters stay. Of a calibrated variant activations are rounded, too (``stages/qat.py``); their
ranges in the file are measured afterwards, by the calibration, on the model as it then is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import tf_keras

from job.errors import InputError
from job.events import Stage
from job.manifest.quantize import (
    HALF,
    CalibratedConfig,
    PackedConfig,
    TrainedConfig,
    WeightOnlyBits,
)
from job.models import load, prunable
from job.models.kernel_axes import quantized_kernels
from job.models.layers import layers_of, users_name
from job.result.artifact import file_digest
from job.result.record import Record
from job.result.training import RunOfTrainingResult
from job.resume.checkpoints import CheckpointFormat
from job.rows.data import calibration_rows
from job.stages import constraints
from job.stages.projected_step import ProjectionSchedule
from job.stages.qat import measured_ranges, simulated
from job.worker.allocate import settings_for
from job.worker.checkpoint_formats import Array, read_arrays, write_arrays
from job.worker.clustering import Clustered
from job.worker.context import Loaded, Work
from job.worker.projected import LayerTarget, projected_training, run_of
from job.worker.teach import Lessons
from job.worker.teacher import start_from_teacher
from job.worker.train import Pruned
from job.worker.training_checkpoints import TRAINING, TrainingCheckpoints

# From this share of zeros on a kernel that this job has not pruned is taken to be pruned.
SPARSE = 0.1
# The bits of a calibrated variant's activations.
ACTIVATION_BITS = {"int8": 8, "int16": 16}


class AwareRecord(Record):
    """How the weights of a variant were trained."""

    training: RunOfTrainingResult


Trained = tuple[Sequence[Array], RunOfTrainingResult]


def train_for_grids(work: Work, clustered: Clustered, lessons: Lessons) -> dict[str, Trained]:
    """The weights of each variant that is trained for its grid, and how they were trained.

    Variants of one grid are trained once.
    """
    found: dict[str, Trained] = {}
    first: dict[str, str] = {}
    for name, config in work.job.aware_variants.items():
        same = first.setdefault(_grid(config), name)
        if same == name:
            found[name] = work.checkpoints.restore_or_make(
                f"aware {name}",
                file_digest(clustered.model.path)[1],
                _format(work.checkpoints.folder, name),
                partial(_train, work, clustered, lessons, name, config),
                None,
                replaces=_training(name),
            )
        else:
            found[name] = found[same]
            why = f"its grid is that of {same}, whose weights it has"
            work.journal.skip(f"train {name}", why)
    return found


def on_its_grid(work: Work, pruned: Pruned, trained: Trained | None) -> Pruned:
    """The model that a variant is made of: a copy with the weights that were trained for it, if any
    were.

    Args:
        work: The job.
        pruned: The pruned or clustered model, which stays as it is.
        trained: The weights of the variant.
    """
    if trained is None:
        return pruned
    copy = load.read(pruned.path, trust=work.job.model.trust)
    copy.model.set_weights(list(trained[0]))
    return replace(pruned, read=copy)


def weight_bits(config: TrainedConfig, name: str, kind: str) -> WeightOnlyBits:
    """The width of the kernels of a layer, by the name that the user knows and its class."""
    if not isinstance(config, PackedConfig):
        return 8
    rule = next((it for it in config.rules if prunable.fits(it, name, kind)), None)
    return config.weight_bits if rule is None else rule.weight_bits


def _training(name: str) -> str:
    """The checkpoint of a variant's training."""
    return f"{TRAINING} for {name}"


def _grid(config: TrainedConfig) -> str:
    """What the trained weights of a variant are determined by."""
    fields = config.model_dump(include={"epochs", "weight_bits", "layers", "blockwise"})
    is_wide = getattr(config, "weight_bits", 8) == 8 and not fields.get("layers")
    per_channel = getattr(config, "per_channel", True)
    samples = getattr(config, "calibration_samples", 0)
    activations = f"{config.activations} {samples}"
    return f"{fields['epochs']} {per_channel} {'8' if is_wide else fields} {activations}"


def _targets(
    model: tf_keras.Model, clustered: Clustered, config: TrainedConfig
) -> dict[str, LayerTarget]:
    clusters = {
        it.name: it.number_of_clusters for it in clustered.record.layers if it.number_of_clusters
    }
    pruned = {it.name for it in clustered.model.record.layers if it.pruned}
    targets = {}
    for path, layer in layers_of(model):
        kernels = quantized_kernels(layer)
        if not kernels:
            continue
        name = users_name(path)
        zeros = sum(int(np.sum(it.numpy() == 0)) for it in kernels)
        size = sum(int(np.prod(it.shape)) for it in kernels)
        width = weight_bits(config, name, type(layer).__name__)
        targets[path] = LayerTarget(
            bits=None if width == HALF else width,
            clusters=clusters.get(name),
            per_channel=getattr(config, "per_channel", True),
            block=getattr(config, "blockwise", None),
            keeps_zeros=name in pruned or name in clusters or zeros >= SPARSE * size,
        )
    return targets


def _train(
    work: Work, clustered: Clustered, lessons: Lessons, name: str, config: TrainedConfig
) -> Trained:
    plan = lessons.loaded.plan
    assert plan is not None
    path = clustered.model.path
    with work.journal.stage(f"train {name}") as stage:
        lesson = lessons.get(stage)
        model = load.read(path, trust=work.job.model.trust).model
        constraints.refuse_untrainable(model, work.job.model.uri)
        if clustered.model.is_baseline:
            start_from_teacher(model, lessons.teacher, stage)
        targets = _targets(model, clustered, config)
        settings = settings_for(work, plan, ProjectionSchedule(), config.epochs)
        widths = sorted({it.bits for it in targets.values() if it.bits}, reverse=True)
        if not widths:
            raise InputError(
                f"Every kernel of {name} is float16 by its rules: there is no grid to train for.",
                where=f"quantize, {name}",
                hint="Leave aware out, or give a layer fewer bits.",
            )
        listed = " and ".join(str(bits) for bits in widths)
        stage.decide(
            f"{settings.steps} steps: {settings.epochs} epochs with kernels on grids of {listed} "
            "bits; zeros and clusters stay"
        )
        saves = TrainingCheckpoints(work, stage, file_digest(path)[1], _training(name))
        with _activations(work, lessons.loaded, model, config, stage):
            history = projected_training(model, targets, settings, lesson, stage, saves)
        found = run_of(history, settings)
        stage.decide(f"epoch {found.published_epoch} is converted: {found.reason}")
        return [it.numpy() for it in model.weights], found


@contextlib.contextmanager
def _activations(
    work: Work, loaded: Loaded, model: tf_keras.Model, config: TrainedConfig, stage: Stage
) -> Iterator[None]:
    """In this context, a calibrated variant's activations are rounded as in its file."""
    if not isinstance(config, CalibratedConfig):
        yield
        return
    train = loaded.dataset.train
    rows = calibration_rows(len(train), config.calibration_samples, work.job.training.seed)
    bits = ACTIVATION_BITS[config.activations]
    ranges = measured_ranges(model, train.model_inputs(rows), is_symmetric=bits == 16)
    stage.decide(
        f"the outputs of {len(ranges)} layers are rounded to {bits} bits, in the ranges that "
        f"{len(rows)} rows have before this training"
    )
    with simulated(model, ranges, bits):
        yield


def _format(folder: Path, name: str) -> CheckpointFormat[Trained, AwareRecord]:
    def write(value: Trained) -> tuple[AwareRecord, Sequence[Path]]:
        path = folder / f"aware-{name}.npz"
        write_arrays(path, value[0])
        return AwareRecord(training=value[1]), [path]

    def read(record: AwareRecord, files: Mapping[str, Path]) -> Trained:
        (path,) = files.values()
        return read_arrays(path), record.training

    return CheckpointFormat(AwareRecord, write, read)
