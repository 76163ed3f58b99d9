"""Prune while fine-tuning, strip, save, and read back; or resume from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from pydantic import Field

from job.events import Stage
from job.manifest.prune import PruneConfig
from job.manifest.training import TrainingConfig
from job.metrics.quality import evaluate
from job.models import load, prunable
from job.models.layers import users_name
from job.models.load import ModelFile
from job.models.prunable import LayerPlan
from job.objective.losses import compile_options
from job.result.artifact import FORMATS, LayerResult, file_digest
from job.result.record import Record
from job.result.training import EpochResult, TrainedForResult, TrainingResult
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy
from job.rows.data import calibration_rows
from job.stages import constraints
from job.stages.fine_tune import TrainingSettings, fine_tune, make_optimizer, regularized
from job.stages.one_shot import estimate_statistics, prune_at_once
from job.stages.prune import check_reached, mask_weights, wrap
from job.stages.strip import strip
from job.stages.training_state import BestEpoch, choose_epoch
from job.worker import allocate
from job.worker.context import Loaded, Work
from job.worker.load_inputs import compare_on_rows
from job.worker.schedules import schedules
from job.worker.teach import Lesson, Lessons, trained_for, why
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


def prune(work: Work, loaded: Loaded, lessons: Lessons) -> Pruned:
    """The pruned model; where nothing is to be pruned, the one that came in."""
    config = work.job.prune
    if config is None:
        further = "" if work.job.is_trained else "; the model is not fine-tuned either"
        work.journal.skip("prune", f"prune is null{further}")
        record = PrunedRecord(trained_for=trained_for(work.job, loaded))
        return Pruned(loaded.file, loaded.baseline.path, record, is_baseline=True)
    of = file_digest(loaded.baseline.path)[1]
    pruned = work.checkpoints.restore_or_make(
        "prune",
        of,
        _format(work),
        lambda: _prune(work, loaded, config, of, lessons),
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


def _prune(work: Work, loaded: Loaded, config: PruneConfig, of: str, lessons: Lessons) -> Pruned:
    shares = config.allocation != "uniform"
    with work.journal.stage("prune") as stage:
        plans = prunable.plan_layers(loaded.file.model, config)
        targets = prunable.targets(plans, work.job.model.uri)
        constraints.refuse_untrainable(loaded.file.model, work.job.model.uri)
        kinds = {users_name(it.name): it.type for it in plans}
        work.journal.warn(*prunable.unmatched(config.rules, kinds, "prune.layers"))
        stage.decide(f"the objective is {work.job.objective.type}: {why(work.job)}")
        if shares:
            stage.decide(*allocate.described(plans, config))
        epochs: list[EpochResult] = []
        training, trained = None, trained_for(work.job, loaded)
        if loaded.plan is None:
            work.journal.warn(*_doubts(work, targets))
            if shares:
                wrapped = loaded.file.model
                allocate.prune_at_once(wrapped, plans, config)
            else:
                wrapped = prune_at_once(loaded.file.model, targets, config)
            stage.decide(*_estimate_again(work, loaded))
        else:
            asked = lessons.get(stage)
            trained = asked.record
            if lessons.teacher.start is not None:
                loaded.file.model.set_weights(list(lessons.teacher.start))
                stage.decide("it starts from the teacher's weights")
            _describe(work, loaded, loaded.plan, stage)
            saves = TrainingCheckpoints(work, stage, of)
            first = loaded.plan.first_epoch
            if shares:
                wrapped = loaded.file.model
                epochs, first = allocate.train(work, loaded, plans, asked, saves)
            else:
                wrapped = _wrapped(work, loaded, targets, loaded.plan, asked.objectives)
                epochs = _fine_tune(work, loaded, asked, wrapped, loaded.plan, saves)
            training = _training(loaded, loaded.plan, epochs, first, plans, config)
            stage.decide(f"epoch {training.published_epoch} is published: {training.reason}")
    read, file, found = _stripped(work, loaded, wrapped, plans, config)
    record = PrunedRecord(epochs=epochs, layers=found, training=training, trained_for=trained)
    return Pruned(read, file, record)


def _stripped(
    work: Work,
    loaded: Loaded,
    wrapped: tf_keras.Model,
    plans: list[LayerPlan],
    config: PruneConfig,
) -> tuple[ModelFile, Path, list[LayerResult]]:
    """The pruned model without wrappers, saved and read back; its file; and its layers."""
    with work.journal.stage("strip") as stage:
        file = work.output / f"prune{FORMATS[loaded.file.format].suffix}"
        reloaded = load.save(strip(wrapped, loaded.file.model), loaded.file, file)
        compare_on_rows(reloaded, loaded.dataset, file.name)
        found = prunable.results(plans, reloaded.model)
        if config.allocation != "uniform":
            found, missed = allocate.results(plans, found, config)
            work.journal.warn(*missed)
        work.journal.warn(*check_reached(found))
        checked = constraints.check(reloaded.model)
        decisions, warnings = constraints.report(checked, file.name)
        stage.decide(*decisions)
        work.journal.warn(*warnings)
        stage.decide(f"no wrapper is left; {len(found)} layers have the parameters they had")
        return reloaded, file, found


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


def _training(
    loaded: Loaded,
    plan: TrainingPlan,
    epochs: Sequence[EpochResult],
    first_epoch: int,
    layers: Sequence[LayerPlan],
    config: PruneConfig,
) -> TrainingResult:
    published, reason = choose_epoch(epochs, first_epoch, plan.epochs)
    dataset = loaded.dataset
    return TrainingResult(
        epochs=plan.epochs,
        steps=plan.steps,
        rows=len(dataset.train),
        held_out=len(dataset.validation) if dataset.validation else 0,
        pruned_at=plan.window.end_step,
        schedules=schedules(layers, config, plan.window, len(epochs) * plan.steps_per_epoch),
        published_epoch=published,
        reason=reason,
        class_weights={name: dict(it) for name, it in loaded.class_weights.items()},
        sample_weights=loaded.has_sample_weights,
    )


def _describe(work: Work, loaded: Loaded, plan: TrainingPlan, stage: Stage) -> None:
    """Say how the model is trained."""
    total = plan.steps
    stage.decide(*plan.decisions)
    if plan.window.end_step > total:
        work.journal.warn(
            f"The pruning schedule ends at step {plan.window.end_step}, after the training's last "
            f"({total}): the sparsity asked for is not reached."
        )
    penalties = regularized(loaded.file.model)
    if penalties:
        stage.decide(
            f"the training's loss has the penalties of {', '.join(penalties)} in it, as Keras "
            "counts them; val_loss and the files' loss are without"
        )


def _wrapped(
    work: Work,
    loaded: Loaded,
    targets: dict[str, float],
    plan: TrainingPlan,
    objectives: Mapping[str, Any],
) -> tf_keras.Model:
    """The model with wrappers, compiled."""
    config = work.job.prune
    assert config is not None
    wrapped = wrap(loaded.file.model, targets, config, plan.window)
    wrapped.output_names = list(objectives)  # Keras calls metrics by them
    optimizer = make_optimizer(work.job.training.optimizer, plan.steps)
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
    freezes = bool(training.freeze_batch_normalization)
    settings = TrainingSettings(
        *(plan.steps_per_epoch, plan.epochs, training.order_seed, best, freezes)
    )
    return fine_tune(wrapped, asked.batches, settings, end_epoch, saves.stage, saves)
