"""Cluster: a few distinct values for each kernel, trained, saved, and read back; or resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tf_keras
from pydantic import Field

from job.errors import InputError, StageError
from job.events import Stage
from job.manifest.cluster import ClusterConfig
from job.manifest.quantize import QuantizeConfig
from job.models import load, prunable
from job.models.kernel_axes import quantized_kernels
from job.models.layers import layers_of, users_name
from job.result.artifact import FORMATS, ClusterResult, file_digest
from job.result.record import Record
from job.result.training import RunOfTrainingResult
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy
from job.stages import constraints
from job.stages.projected_step import ProjectionSchedule
from job.worker.allocate import settings_for
from job.worker.context import Loaded, Work
from job.worker.load_inputs import compare_on_rows
from job.worker.projected import LayerTarget, project_at_once, projected_training, run_of
from job.worker.teach import Lessons
from job.worker.teacher import start_from_teacher
from job.worker.train import Pruned
from job.worker.training_checkpoints import TRAINING, TrainingCheckpoints

# Constraints that a mean of weights which satisfy them satisfies, too.
KEEP_MEANS = ("NonNeg",)


class ClusteredRecord(Record):
    """How the clustered model was made."""

    layers: list[ClusterResult] = Field(default=[])
    training: RunOfTrainingResult | None = None


@dataclass(frozen=True)
class Clustered:
    """The model that is converted, and how it was clustered."""

    model: Pruned
    """As it was read back from its file; of a job that does not cluster, the pruned one."""
    record: ClusteredRecord


def cluster(work: Work, loaded: Loaded, pruned: Pruned, lessons: Lessons) -> Clustered:
    """The clustered model; where nothing is to be clustered, the one that was given."""
    config = work.job.cluster
    if config is None:
        return Clustered(pruned, ClusteredRecord())
    of = file_digest(pruned.path)[1]
    clustered = work.checkpoints.restore_or_make(
        "cluster",
        of,
        _format(work, pruned),
        lambda: _cluster(work, loaded, pruned, config, lessons),
        None,
        replaces=f"{TRAINING} cluster",
    )
    work.encoder.add(clustered.model.path)
    return clustered


def can_cluster(model: tf_keras.Model) -> bool:
    """Whether a layer can be clustered with the defaults, as a search clusters."""
    return any(it.clustered for it in plan_clusters(model, ClusterConfig()))


def _has_channel_scales(variant: QuantizeConfig) -> bool:
    """Whether a variant of 8 bits rounds the values of a kernel otherwise in each channel."""
    bits = getattr(variant, "weight_bits", 8)
    return bits == 8 and getattr(variant, "per_channel", False) and variant.kernels == "int8"


def _format(work: Work, pruned: Pruned) -> CheckpointFormat[Clustered, ClusteredRecord]:
    def read(record: ClusteredRecord, files: Mapping[str, Path]) -> Clustered:
        ((name, file),) = files.items()
        path = link_or_copy(file, work.output / name)
        found = load.read(path, trust=work.job.model.trust)
        return Clustered(replace(pruned, read=found, path=path, is_baseline=False), record)

    return CheckpointFormat(ClusteredRecord, lambda made: (made.record, [made.model.path]), read)


def _cluster(
    work: Work, loaded: Loaded, pruned: Pruned, config: ClusterConfig, lessons: Lessons
) -> Clustered:
    with work.journal.stage("cluster") as stage:
        # A copy: the pruned model is measured later.
        file = load.read(pruned.path, trust=work.job.model.trust)
        plans = plan_clusters(file.model, config)
        kinds = {users_name(it.name): it.type for it in plans}
        work.journal.warn(*prunable.unmatched(config.layers, kinds, "cluster.layers"))
        targets = {
            it.name: LayerTarget(clusters=it.number_of_clusters) for it in plans if it.clustered
        }
        if not targets:
            reasons = "\n".join(f"  {users_name(it.name)} ({it.type}): {it.reason}" for it in plans)
            raise InputError(
                f"No layer of the model can be clustered:\n{reasons or '  it has no weights'}",
                where=work.job.model.uri,
                hint='Change the rules or min_weights, or leave "cluster" out.',
            )
        training = _train(work, pruned, file.model, targets, lessons, stage)
        path = work.output / f"cluster{FORMATS[file.format].suffix}"
        zeros = _zeros(pruned.read.model, targets)
        reloaded = load.save(file.model, file, path)
        compare_on_rows(reloaded, loaded.dataset, path.name)
        found = [_result(it, reloaded.model) for it in plans]
        check_clusters(found, zeros, _zeros(reloaded.model, targets), path.name)
        decisions, warnings = constraints.report(constraints.check(reloaded.model), path.name)
        stage.decide(*decisions)
        work.journal.warn(*warnings)
        most = max(it.distinct_values for it in found if it.clustered)
        stage.decide(
            f"{len(targets)} layers have at most {most} distinct values in each kernel, and zeros "
            "where they were"
        )
        many = [name for name, it in work.job.variants.items() if _has_channel_scales(it)]
        if many:
            work.journal.warn(
                f"{', '.join(many)}: each channel of a kernel has a scale of its own, which makes "
                "more values of the clusters, and a larger file. Set per_channel to false there."
            )
        record = ClusteredRecord(layers=found, training=training)
        model = replace(pruned, read=reloaded, path=path, is_baseline=False)
        return Clustered(model, record)


def _train(
    work: Work,
    pruned: Pruned,
    model: tf_keras.Model,
    targets: Mapping[str, LayerTarget],
    lessons: Lessons,
    stage: Stage,
) -> RunOfTrainingResult | None:
    """Train the clusters of a model, or only find them where nothing is trained."""
    config, plan = work.job.cluster, lessons.loaded.plan
    assert config is not None
    seed, init = work.job.training.seed, config.cluster_centroids_init
    if plan is None:
        project_at_once(model, targets, init=init, seed=seed)
        work.journal.warn(
            "The objective is none: clusters are found and not trained. Look at the fidelity."
        )
        return None
    lesson = lessons.get(stage)
    if pruned.is_baseline:
        start_from_teacher(model, lessons.teacher, stage)
    constraints.refuse_untrainable(model, work.job.model.uri)
    plain = settings_for(work, plan, ProjectionSchedule(), config.epochs)
    settings = replace(plain, init=init)
    stage.decide(f"{settings.steps} steps: {settings.epochs} epochs; assignments are the nearest")
    of = file_digest(pruned.path)[1]
    saves = TrainingCheckpoints(work, stage, of, f"{TRAINING} cluster")
    history = projected_training(model, targets, settings, lesson, stage, saves)
    found = run_of(history, settings)
    stage.decide(f"epoch {found.published_epoch} is published: {found.reason}")
    return found


def plan_clusters(model: tf_keras.Model, config: ClusterConfig) -> list[ClusterResult]:
    """What is clustered, and what is not and why: every layer that has weights, before clustering.

    The names are paths, not yet the user's.
    """
    return [_plan(path, layer, config) for path, layer in layers_of(model) if layer.weights]


def _plan(path: str, layer: tf_keras.layers.Layer, config: ClusterConfig) -> ClusterResult:
    kind = type(layer).__name__
    kernels = quantized_kernels(layer)
    weights = sum(int(np.prod(it.shape)) for it in kernels)
    rule = next((it for it in config.layers if prunable.fits(it, users_name(path), kind)), None)
    count = config.number_of_clusters
    reason = ""
    bound = sorted(
        {
            type(it.constraint).__name__
            for it in kernels
            if getattr(it, "constraint", None) is not None
            and type(it.constraint).__name__ not in KEEP_MEANS
        }
    )
    if not kernels:
        reason = "it has no kernel"
    elif not layer.trainable or not {id(it) for it in kernels} & {
        id(it) for it in layer.trainable_weights
    }:
        reason = f"this {kind} layer is frozen (trainable is false)"
    elif rule is not None and rule.skip:
        reason = f"a rule skips it ({prunable.describe(rule)})"
    elif bound:
        reason = f"{', '.join(bound)} scales each unit of it, so values can't be shared"
    elif rule is None and weights < config.min_weights:
        reason = f"it has {weights} weights, fewer than min_weights ({config.min_weights})"
    if rule is not None and rule.number_of_clusters is not None:
        count = rule.number_of_clusters
    why = f"a rule fits it ({prunable.describe(rule)})" if rule else "number_of_clusters"
    return ClusterResult(
        name=path,
        type=kind,
        clustered=not reason,
        reason=reason or why,
        number_of_clusters=None if reason else count,
        distinct_values=0,
    )


def _result(plan: ClusterResult, model: tf_keras.Model) -> ClusterResult:
    """A plan with what is in the model, and the user's name of the layer."""
    kernels = quantized_kernels(dict(layers_of(model))[plan.name])
    most = max((np.unique(it.numpy()).size for it in kernels), default=0)
    return plan.model_copy(update={"name": users_name(plan.name), "distinct_values": most})


def _zeros(model: tf_keras.Model, targets: Mapping[str, LayerTarget]) -> list[np.ndarray]:
    """Where the kernels of the clustered layers are zero."""
    return [
        kernel.numpy() == 0
        for path, layer in layers_of(model)
        if path in targets
        for kernel in quantized_kernels(layer)
    ]


def check_clusters(
    found: Sequence[ClusterResult],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    file: str,
) -> None:
    """Check what clustering promises, in a file that was read back.

    Raises:
        StageError: Where a kernel has more values than asked, or a zero is none any more.
    """
    for it in found:
        if it.number_of_clusters is not None and it.distinct_values > it.number_of_clusters:
            raise StageError(
                f"The layer {it.name} has {it.distinct_values} distinct values in a kernel, more "
                f"than the {it.number_of_clusters} that were asked for.",
                where=file,
            )
    if any(np.any(was & ~now) for was, now in zip(before, after, strict=True)):
        raise StageError("Clustering made weights of zeros.", where=file)
