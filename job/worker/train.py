"""Prune while fine-tuning, strip, save, and read back; or go on where a stopped run was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import tf_keras

from job.artifact import FORMATS, EpochResult, LayerResult, Record, TrainingResult
from job.datasets.data import shuffled_batches
from job.events import Stage
from job.manifest.prune import PruneConfig
from job.metrics.quality import evaluate
from job.models import layers, load
from job.models.load import ModelFile
from job.objective.losses import compile_options
from job.resume.checkpoints import Form, Kept, StoppedError, digest, place
from job.stages import constraints
from job.stages.best_epoch import BestEpoch, told
from job.stages.fine_tune import Course, fine_tune, make_optimizer
from job.stages.penalties import regularized
from job.stages.prune import check_reached, mask_weights, wrap
from job.stages.strip import strip
from job.stages.training_state import Saved
from job.worker.arrays import read_arrays, write_arrays
from job.worker.context import Work
from job.worker.load_inputs import Loaded, compare_on_rows
from job.worker.training_plan import TrainingPlan

# The piece that holds the training's last state, until the pruned model is there.
TRAINING = "training"


@dataclass(frozen=True)
class Pruned:
    """The pruned model as it was read back from its file, and how it came to be."""

    read: ModelFile
    path: Path
    """Its file; of a job that does not prune, the baseline's."""
    epochs: Sequence[EpochResult] = ()
    layers: Sequence[LayerResult] = ()
    training: TrainingResult | None = None
    is_baseline: bool = False


class _PrunedRecord(Record):
    epochs: list[EpochResult]
    layers: list[LayerResult]
    training: TrainingResult | None


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
        return Pruned(loaded.file, loaded.baseline.path, is_baseline=True)
    of = digest(loaded.baseline.path)
    pruned = work.kept.piece(
        "prune",
        of,
        _form(work),
        lambda: _prune(work, loaded, config, of),
        None,
        instead_of=TRAINING,
    )
    work.encoder.add(pruned.path)
    return pruned


def _form(work: Work) -> Form[Pruned, _PrunedRecord]:
    def write(pruned: Pruned) -> tuple[_PrunedRecord, Sequence[Path]]:
        record = _PrunedRecord(
            epochs=list(pruned.epochs), layers=list(pruned.layers), training=pruned.training
        )
        return record, [pruned.path]

    def read(record: _PrunedRecord, files: Mapping[str, Path]) -> Pruned:
        ((name, file),) = files.items()
        path = place(file, work.output / name)
        found = load.read(path, trust=work.job.model.trust)
        return Pruned(found, path, record.epochs, record.layers, record.training)

    return Form(_PrunedRecord, write, read)


def _prune(work: Work, loaded: Loaded, config: PruneConfig, of: str) -> Pruned:
    plan = loaded.plan
    assert plan is not None  # of a job that prunes there is one
    with work.journal.stage("prune") as stage:
        plans = layers.plan_layers(loaded.file.model, config)
        targets = layers.targets(plans, work.job.model.uri)
        constraints.refuse_untrainable(loaded.file.model, work.job.model.uri)
        for rule in layers.unmatched_rules(plans, config):
            work.journal.warn(f"No layer fits the rule {rule.model_dump(exclude_none=True)}.")
        wrapped = _wrapped(work, loaded, targets, plan, stage)
        epochs = _fine_tune(work, loaded, wrapped, plan, _KeptTraining(work, stage, of))
        training = _training(loaded, plan, epochs)
        stage.decide(f"epoch {training.published_epoch} is published: {training.reason}")
    with work.journal.stage("strip") as stage:
        file = work.output / f"prune{FORMATS[loaded.file.format].suffix}"
        reloaded = load.save(strip(wrapped, loaded.file.model), loaded.file, file)
        compare_on_rows(reloaded, loaded.dataset, file.name)
        found = layers.results(plans, reloaded.model)
        for warning in check_reached(found):
            work.journal.warn(warning)
        _check_constraints(work, reloaded, stage, file)
        stage.decide(f"no wrapper is left; {len(found)} layers have the parameters they had")
        return Pruned(reloaded, file, epochs, found, training)


def _training(loaded: Loaded, plan: TrainingPlan, epochs: Sequence[EpochResult]) -> TrainingResult:
    published, reason = told(epochs, plan.first_epoch, plan.epochs)
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


def _check_constraints(work: Work, reloaded: ModelFile, stage: Stage, file: Path) -> None:
    decisions, warnings = constraints.report(constraints.check(reloaded.model), file.name)
    for text in decisions:
        stage.decide(text)
    for warning in warnings:
        work.journal.warn(warning)


def _wrapped(
    work: Work, loaded: Loaded, targets: dict[str, float], plan: TrainingPlan, stage: Stage
) -> tf_keras.Model:
    """The model with wrappers, compiled."""
    objectives, config = loaded.ruler.objectives, work.job.prune
    assert config is not None
    total = plan.steps
    for text in plan.decisions:
        stage.decide(text)
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
    work: Work, loaded: Loaded, wrapped: tf_keras.Model, plan: TrainingPlan, saves: _KeptTraining
) -> list[EpochResult]:
    training, dataset, objectives = work.job.training, loaded.dataset, loaded.ruler.objectives

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
    course = Course(plan.steps_per_epoch, plan.epochs, training.seed, best)
    return fine_tune(wrapped, batches, course, end_epoch, saves.stage, saves)


class _KeptTraining:
    """The states of a training, kept one after the other."""

    def __init__(self, work: Work, stage: Stage, of: str) -> None:
        self.stage = stage
        self._kept: Kept = work.kept
        self._journal = work.journal
        self._of = of
        self._form = Form(_TrainingRecord, self._write, self._read)
        self._saved_at = time.monotonic()
        self._last = (0, 0)

    def latest(self) -> Saved | None:
        """What an earlier run has saved."""
        found = self._kept.peek(TRAINING, self._of, self._form)
        if found is not None:
            self._kept.taken.append(TRAINING)
            self._last = _place(found)
        return found

    def refuse(self, why: str) -> None:
        """Forget it: the training begins anew."""
        self._kept.taken.remove(TRAINING)
        self.stage.earlier_s = 0.0
        self._last = (0, 0)
        self._kept.refuse(TRAINING, why)

    def warn(self, text: str) -> None:
        """Tell the user something."""
        self._journal.warn(text)

    def running(self) -> AbstractContextManager[None]:
        """While it is, it ends itself when it is told to: after it has been saved."""
        self._saved_at = time.monotonic()
        return self._kept.stops_itself()

    def is_due(self) -> bool:
        """Now and then, and when the run is to stop."""
        due = time.monotonic() - self._saved_at >= self._kept.save_every_s
        return due or self._kept.stopping.is_set()

    def save(self, state: Saved) -> None:
        """Keep a state instead of the one before.

        Raises:
            StoppedError: Where the run is to stop.
            OSError: Where it can't be kept.
        """
        if _place(state) != self._last:  # it is the same all the while an epoch is validated
            self._kept.keep(TRAINING, self._of, self._form, state)
            self._last = _place(state)
        self._saved_at = time.monotonic()
        if self._kept.stopping.is_set():
            raise StoppedError

    def _write(self, state: Saved) -> tuple[_TrainingRecord, Sequence[Path]]:
        step, epochs = _place(state)
        path = self._kept.folder / f"training-{step}-{epochs}.npz"
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


def _place(state: Saved) -> tuple[int, int]:
    """Steps done, and epochs that are over."""
    return state.step, len(state.history)
