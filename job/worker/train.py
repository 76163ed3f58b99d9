"""Prune while fine-tuning, strip, save, and read back; or resume from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from pydantic import Field

from job.datasets.data import calibration_rows
from job.events import Stage
from job.manifest.prune import PruneConfig
from job.manifest.training import TrainingConfig
from job.metrics.quality import evaluate
from job.models import load, prunable
from job.models.load import ModelFile
from job.objective.losses import compile_options
from job.result.artifact import (
    FORMATS,
    EpochResult,
    LayerResult,
    Record,
    TrainedForResult,
    TrainingResult,
    file_digest,
)
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy
from job.stages import constraints
from job.stages.fine_tune import TrainingSettings, fine_tune, make_optimizer, regularized
from job.stages.one_shot import estimate_statistics, prune_at_once
from job.stages.prune import check_reached, mask_weights, wrap
from job.stages.strip import strip
from job.stages.training_state import BestEpoch, choose_epoch
from job.worker.context import Loaded, Work
from job.worker.load_inputs import compare_on_rows
from job.worker.teach import Lesson, lesson, trained_for, why
from job.worker.training_checkpoints import TRAINING, TrainingCheckpoints
from job.worker.training_plan import TrainingPlan

# Training rows that statistics are estimated on again, and how many at once.
ESTIMATED_ROWS = 2048
BATCH_ROWS = 256
# Up to this sparsity most models keep what they know without training.
SAFE_SPARSITY = 0.5
# Settings that count without training, too.
USED_UNTRAINED = ("objective", "seed", "loss", "metrics")


class PrunedRecord(Record):
    """How the pruned model was made; empty for a job that does not prune."""

    epochs: list[EpochResult] = Field(default=[])
    layers: list[LayerResult] = Field(default=[])
    training: TrainingResult | None = None
    trained_for: TrainedForResult


@dataclass(frozen=True)
class Pruned:
    """The pruned model, as it was read back from its file."""

    read: ModelFile
    path: Path
    """Its file; of a job that does not prune, the baseline's."""
    record: PrunedRecord
    is_baseline: bool = False


def prune(work: Work, loaded: Loaded) -> Pruned:
    """The pruned model; where nothing is to be pruned, the one that came in."""
    config = work.job.prune
    if config is None:
        work.journal.skip("prune", "prune is null; the model is not fine-tuned either")
        record = PrunedRecord(trained_for=trained_for(work.job, loaded))
        return Pruned(loaded.file, loaded.baseline.path, record, is_baseline=True)
    of = file_digest(loaded.baseline.path)[1]
    pruned = work.checkpoints.restore_or_make(
        "prune",
        of,
        _format(work),
        lambda: _prune(work, loaded, config, of),
        None,
        replaces=TRAINING,
    )
    work.encoder.add(pruned.path)
    return pruned


def _format(work: Work) -> CheckpointFormat[Pruned, PrunedRecord]:
    def read(record: PrunedRecord, files: Mapping[str, Path]) -> Pruned:
        ((name, file),) = files.items()
        path = link_or_copy(file, work.output / name)
        return Pruned(load.read(path, trust=work.job.model.trust), path, record)

    return CheckpointFormat(PrunedRecord, lambda pruned: (pruned.record, [pruned.path]), read)


def _prune(work: Work, loaded: Loaded, config: PruneConfig, of: str) -> Pruned:
    with work.journal.stage("prune") as stage:
        plans = prunable.plan_layers(loaded.file.model, config)
        targets = prunable.targets(plans, work.job.model.uri)
        constraints.refuse_untrainable(loaded.file.model, work.job.model.uri)
        for rule in prunable.unmatched_rules(plans, config):
            work.journal.warn(f"No layer fits the rule {rule.model_dump(exclude_none=True)}.")
        stage.decide(f"the objective is {work.job.objective.type}: {why(work.job)}")
        epochs: list[EpochResult] = []
        training, trained = None, trained_for(work.job, loaded)
        if loaded.plan is None:
            work.journal.warn(*_doubts(work, targets))
            wrapped = prune_at_once(loaded.file.model, targets, config)
            stage.decide(*_estimate_again(work, loaded))
        else:
            asked = lesson(work, loaded, stage)
            trained = asked.record
            wrapped = _wrapped(work, loaded, targets, loaded.plan, asked.objectives, stage)
            saves = TrainingCheckpoints(work, stage, of)
            epochs = _fine_tune(work, loaded, asked, wrapped, loaded.plan, saves)
            training = _training(loaded, loaded.plan, epochs)
            stage.decide(f"epoch {training.published_epoch} is published: {training.reason}")
    with work.journal.stage("strip") as stage:
        file = work.output / f"prune{FORMATS[loaded.file.format].suffix}"
        reloaded = load.save(strip(wrapped, loaded.file.model), loaded.file, file)
        compare_on_rows(reloaded, loaded.dataset, file.name)
        found = prunable.results(plans, reloaded.model)
        work.journal.warn(*check_reached(found))
        checked = constraints.check(reloaded.model)
        decisions, warnings = constraints.report(checked, file.name)
        stage.decide(*decisions)
        work.journal.warn(*warnings)
        stage.decide(f"no wrapper is left; {len(found)} layers have the parameters they had")
        record = PrunedRecord(epochs=epochs, layers=found, training=training, trained_for=trained)
        return Pruned(reloaded, file, record)


def _doubts(work: Work, targets: Mapping[str, float]) -> Iterator[str]:
    """What a model that is not trained loses, and what is asked for in vain."""
    highest = max(targets.values())
    if highest > SAFE_SPARSITY:
        yield (
            f"Up to {100 * highest:g} % of a layer's weights are pruned without training, which "
            f"most models do not survive; up to {100 * SAFE_SPARSITY:g} % they lose little. Look "
            "at the fidelity, or give inputs to train on."
        )
    plain = TrainingConfig()
    asked = [
        name
        for name in TrainingConfig.model_fields
        if name not in USED_UNTRAINED and getattr(work.job.training, name) != getattr(plain, name)
    ]
    if asked:
        fields = ", ".join(f"training.{name}" for name in asked)
        yield f"The objective is none: nothing is trained, and {fields} has no effect."


def _estimate_again(work: Work, loaded: Loaded) -> list[str]:
    """Estimate the statistics that pruning moved, and say so."""
    rows = loaded.dataset.train
    if work.job.dataset is None:
        return ["the statistics of BatchNormalization stay as they are, since there are no data"]
    chosen = calibration_rows(len(rows), ESTIMATED_ROWS, work.job.training.seed)
    parts = np.array_split(chosen, max(1, len(chosen) // BATCH_ROWS))
    names = estimate_statistics(loaded.file.model, [rows.model_inputs(it) for it in parts])
    if not names:
        return []
    which = ", ".join(names)
    return [f"estimated again on {len(chosen):,} training rows: the statistics of {which}"]


def _training(loaded: Loaded, plan: TrainingPlan, epochs: Sequence[EpochResult]) -> TrainingResult:
    published, reason = choose_epoch(epochs, plan.first_epoch, plan.epochs)
    dataset = loaded.dataset
    return TrainingResult(
        epochs=plan.epochs,
        steps=plan.steps,
        rows=len(dataset.train),
        held_out=len(dataset.validation) if dataset.validation else 0,
        pruned_at=plan.window.end_step,
        published_epoch=published,
        reason=reason,
        class_weights={name: dict(it) for name, it in loaded.class_weights.items()},
        sample_weights=loaded.has_sample_weights,
    )


def _wrapped(
    work: Work,
    loaded: Loaded,
    targets: dict[str, float],
    plan: TrainingPlan,
    objectives: Mapping[str, Any],
    stage: Stage,
) -> tf_keras.Model:
    """The model with wrappers, compiled."""
    config = work.job.prune
    assert config is not None
    total = plan.steps
    stage.decide(*plan.decisions)
    if plan.window.end_step > total:
        work.journal.warn(
            f"The pruning schedule ends at step {plan.window.end_step}, after the training's last "
            f"({total}): the sparsity asked for is not reached."
        )
    wrapped = wrap(loaded.file.model, targets, config, plan.window)
    penalties = regularized(loaded.file.model)
    if penalties:
        stage.decide(
            f"the training's loss has the penalties of {', '.join(penalties)} in it, as Keras "
            "counts them; val_loss and the files' loss are without"
        )
    wrapped.output_names = list(objectives)  # Keras calls metrics by them
    optimizer = make_optimizer(work.job.training.optimizer, total)
    wrapped.compile(optimizer, **compile_options(wrapped, objectives))
    return wrapped


def _fine_tune(
    work: Work,
    loaded: Loaded,
    asked: Lesson,
    wrapped: tf_keras.Model,
    plan: TrainingPlan,
    saves: TrainingCheckpoints,
) -> list[EpochResult]:
    training = work.job.training

    def end_epoch(save_if_due: Callable[[], None]) -> dict[str, float]:
        mask_weights(wrapped)
        if asked.held_out is None:
            return {}

        def advance(_: int, __: int) -> None:
            save_if_due()

        # The wrapped model shares its weights with the loaded one.
        return evaluate(loaded.predict, asked.held_out, asked.objectives, advance).metrics

    stopping = training.early_stopping
    patience = None if stopping is None else stopping.patience
    best = BestEpoch(loaded.file.model.weights, plan.first_epoch, patience)
    settings = TrainingSettings(plan.steps_per_epoch, plan.epochs, training.seed, best)
    return fine_tune(wrapped, asked.batches, settings, end_epoch, saves.stage, saves)
