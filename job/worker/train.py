"""Prune while fine-tuning, strip, save, and read back; or resume from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import tf_keras
from pydantic import Field

from job.artifact import FORMATS, EpochResult, LayerResult, Record, TrainingResult, file_digest
from job.datasets.data import shuffled_batches
from job.events import Stage
from job.manifest.prune import PruneConfig
from job.metrics.quality import evaluate
from job.models import load, prunable
from job.models.load import ModelFile
from job.objective.losses import compile_options
from job.resume.checkpoints import CheckpointFormat, StoppedError
from job.resume.index import link_or_copy
from job.stages import constraints
from job.stages.fine_tune import TrainingSettings, fine_tune, make_optimizer, regularized
from job.stages.prune import check_reached, mask_weights, wrap
from job.stages.strip import strip
from job.stages.training_state import BestEpoch, Saved, Saves, choose_epoch
from job.worker.checkpoint_formats import read_arrays, write_arrays
from job.worker.context import Loaded, Work
from job.worker.load_inputs import compare_on_rows
from job.worker.training_plan import TrainingPlan

# The checkpoint of the training's last state, until the pruned model is there.
TRAINING = "training"


class PrunedRecord(Record):
    """How the pruned model was made; empty for a job that does not prune."""

    epochs: list[EpochResult] = Field(default=[])
    layers: list[LayerResult] = Field(default=[])
    training: TrainingResult | None = None


@dataclass(frozen=True)
class Pruned:
    """The pruned model, as it was read back from its file."""

    read: ModelFile
    path: Path
    """Its file; of a job that does not prune, the baseline's."""
    record: PrunedRecord
    is_baseline: bool = False


class _TrainingRecord(Record):
    seconds: float
    step: int
    history: list[EpochResult]
    names: list[str]
    best: int = 0
    """How many of the arrays, at the end, are the best epoch's weights."""


def prune(work: Work, loaded: Loaded) -> Pruned:
    """The pruned model; where nothing is to be pruned, the one that came in."""
    config = work.job.prune
    if config is None:
        work.journal.skip("prune", "prune is null; the model is not fine-tuned either")
        return Pruned(loaded.file, loaded.baseline.path, PrunedRecord(), is_baseline=True)
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
    plan = loaded.plan
    assert plan is not None  # of a job that prunes there is one
    with work.journal.stage("prune") as stage:
        plans = prunable.plan_layers(loaded.file.model, config)
        targets = prunable.targets(plans, work.job.model.uri)
        constraints.refuse_untrainable(loaded.file.model, work.job.model.uri)
        for rule in prunable.unmatched_rules(plans, config):
            work.journal.warn(f"No layer fits the rule {rule.model_dump(exclude_none=True)}.")
        wrapped = _wrapped(work, loaded, targets, plan, stage)
        epochs = _fine_tune(work, loaded, wrapped, plan, _TrainingCheckpoints(work, stage, of))
        training = _training(loaded, plan, epochs)
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
        return Pruned(reloaded, file, PrunedRecord(epochs=epochs, layers=found, training=training))


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
    work: Work, loaded: Loaded, targets: dict[str, float], plan: TrainingPlan, stage: Stage
) -> tf_keras.Model:
    """The model with wrappers, compiled."""
    objectives, config = loaded.evaluator.objectives, work.job.prune
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
    wrapped: tf_keras.Model,
    plan: TrainingPlan,
    saves: _TrainingCheckpoints,
) -> list[EpochResult]:
    training, dataset, objectives = work.job.training, loaded.dataset, loaded.evaluator.objectives

    def end_epoch(save_if_due: Callable[[], None]) -> dict[str, float]:
        mask_weights(wrapped)
        held_out = dataset.validation
        if held_out is None:
            return {}

        def advance(_: int, __: int) -> None:
            save_if_due()

        # The wrapped model shares its weights with the loaded one.
        return evaluate(
            *(loaded.predict, held_out.read, len(held_out), objectives, advance),
            weights=held_out.weights,
        ).metrics

    batches = shuffled_batches(dataset.train, training.batch_size, training.seed)
    stopping = training.early_stopping
    patience = None if stopping is None else stopping.patience
    best = BestEpoch(loaded.file.model.weights, plan.first_epoch, patience)
    settings = TrainingSettings(plan.steps_per_epoch, plan.epochs, training.seed, best)
    return fine_tune(wrapped, batches, settings, end_epoch, saves.stage, saves)


class _TrainingCheckpoints(Saves):
    """The states of a training: each checkpoint replaces the one before."""

    def __init__(self, work: Work, stage: Stage, of: str) -> None:
        self.stage = stage
        self._checkpoints = work.checkpoints
        self._journal = work.journal
        self._of = of
        self._format = CheckpointFormat(_TrainingRecord, self._write, self._read)
        self._saved_at = time.monotonic()
        self._last = (0, 0)

    def latest(self) -> Saved | None:
        """What an earlier run has saved."""
        found = self._checkpoints.find(TRAINING, self._of, self._format)
        if found is not None:
            self._checkpoints.restored.append(TRAINING)
            self._last = _position(found)
        return found

    def refuse(self, why: str) -> None:
        """Discard it: the training starts again."""
        self._checkpoints.restored.remove(TRAINING)
        self.stage.earlier_s = 0.0
        self._last = (0, 0)
        self._checkpoints.discard(TRAINING, why)

    def warn(self, text: str) -> None:
        """Warn the user."""
        self._journal.warn(text)

    def running(self) -> AbstractContextManager[None]:
        """Meanwhile the training stops itself when it is asked to: after it has been saved."""
        self._saved_at = time.monotonic()
        return self._checkpoints.work_stops_itself()

    def is_due(self) -> bool:
        """At an interval, and when the run is to stop."""
        due = time.monotonic() - self._saved_at >= self._checkpoints.save_every_s
        return due or self._checkpoints.stopping.is_set()

    def save(self, state: Saved) -> None:
        """Save a state.

        Raises:
            StoppedError: Where the run is to stop.
            OSError: Where it can't be saved.
        """
        if _position(state) != self._last:  # it is the same all the while an epoch is validated
            self._checkpoints.save(TRAINING, self._of, self._format, state)
            self._last = _position(state)
        self._saved_at = time.monotonic()
        if self._checkpoints.stopping.is_set():
            raise StoppedError

    def _write(self, state: Saved) -> tuple[_TrainingRecord, Sequence[Path]]:
        step, epochs = _position(state)
        path = self._checkpoints.folder / f"training-{step}-{epochs}.npz"
        write_arrays(path, [*state.arrays, *state.best])
        record = _TrainingRecord(
            seconds=self.stage.elapsed(),
            step=state.step,
            history=list(state.history),
            names=list(state.names),
            best=len(state.best),
        )
        return record, [path]

    def _read(self, record: _TrainingRecord, files: Mapping[str, Path]) -> Saved:
        (path,) = files.values()
        self.stage.earlier_s = record.seconds
        arrays = read_arrays(path)
        own = len(arrays) - record.best
        return Saved(record.step, record.history, record.names, arrays[:own], arrays[own:])


def _position(state: Saved) -> tuple[int, int]:
    """Steps done, and epochs that are over."""
    return state.step, len(state.history)
