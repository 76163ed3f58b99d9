"""Prune while fine-tuning, strip, save, and read back; or go on where a stopped run was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import tf_keras

from job.datasets.data import shuffled_batches, steps_per_epoch
from job.journal import Stage
from job.manifest.prune import PruneConfig
from job.metrics.objective import compile_options
from job.metrics.quality import evaluate
from job.models import layers, load
from job.models.load import SUFFIXES, ModelFile
from job.result import EpochResult, LayerResult, Record
from job.stages import constraints
from job.stages.fine_tune import Course, fine_tune, make_optimizer
from job.stages.penalties import regularized
from job.stages.prune import check_reached, mask_weights, plan_window, wrap
from job.stages.strip import strip
from job.stages.training_state import Saved
from job.work.arrays import read_arrays, write_arrays
from job.work.context import Work
from job.work.kept import Form, Kept, StoppedError, digest, place
from job.work.load_inputs import Loaded

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
    is_baseline: bool = False


class _PrunedRecord(Record):
    epochs: list[EpochResult]
    layers: list[LayerResult]


class _TrainingRecord(Record):
    seconds: float
    step: int
    history: list[EpochResult]
    names: list[str]


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
        record = _PrunedRecord(epochs=list(pruned.epochs), layers=list(pruned.layers))
        return record, [pruned.path]

    def read(record: _PrunedRecord, files: Mapping[str, Path]) -> Pruned:
        ((name, file),) = files.items()
        path = place(file, work.output / name)
        found = load.read(path, trust=work.job.model.trust)
        return Pruned(found, path, record.epochs, record.layers)

    return Form(_PrunedRecord, write, read)


def _prune(work: Work, loaded: Loaded, config: PruneConfig, of: str) -> Pruned:
    with work.journal.stage("prune") as stage:
        plans = layers.plan_layers(loaded.file.model, config)
        targets = layers.targets(plans, work.job.model.uri)
        constraints.refuse_untrainable(loaded.file.model, work.job.model.uri)
        for rule in layers.unmatched_rules(plans, config):
            work.journal.warn(f"No layer fits the rule {rule.model_dump(exclude_none=True)}.")
        wrapped = _wrapped(work, loaded, targets, config, stage)
        epochs = _fine_tune(work, loaded, wrapped, _KeptTraining(work, stage, of))
    with work.journal.stage("strip") as stage:
        file = work.output / f"prune{SUFFIXES[loaded.file.format]}"
        reloaded = load.save(strip(wrapped, loaded.file.model), loaded.file, file)
        found = layers.results(plans, reloaded.model)
        for warning in check_reached(found):
            work.journal.warn(warning)
        _check_constraints(work, reloaded, stage, file)
        stage.decide(f"no wrapper is left; {len(found)} layers have the parameters they had")
        return Pruned(reloaded, file, epochs, found)


def _check_constraints(work: Work, reloaded: ModelFile, stage: Stage, file: Path) -> None:
    decisions, warnings = constraints.report(constraints.check(reloaded.model), file.name)
    for text in decisions:
        stage.decide(text)
    for warning in warnings:
        work.journal.warn(warning)


def _course(work: Work, loaded: Loaded) -> Course:
    training = work.job.training
    steps = steps_per_epoch(len(loaded.dataset.train), training.batch_size)
    return Course(steps, training.epochs, training.seed)


def _wrapped(
    work: Work, loaded: Loaded, targets: dict[str, float], config: PruneConfig, stage: Stage
) -> tf_keras.Model:
    """The model with wrappers, compiled."""
    training, objectives = work.job.training, loaded.ruler.objectives
    total = _course(work, loaded).steps
    window = plan_window(config, total)
    stage.decide(
        f"{total} steps: {training.epochs} epochs of {len(loaded.dataset.train):,} rows in batches "
        f"of {training.batch_size}; masks are updated every {window.frequency} steps from "
        f"{window.begin_step} to {window.end_step}"
    )
    if window.end_step > total:
        work.journal.warn(
            f"The pruning schedule ends at step {window.end_step}, after the training's last "
            f"({total}): the sparsity asked for is not reached."
        )
    wrapped = wrap(loaded.file.model, targets, config, window)
    penalties = regularized(loaded.file.model)
    if penalties:
        stage.decide(
            f"the training's loss has the penalties of {', '.join(penalties)} in it, as Keras "
            "counts them; val_loss and the files' loss are without"
        )
    wrapped.output_names = list(objectives)  # Keras calls metrics by them
    optimizer = make_optimizer(training.optimizer, total)
    wrapped.compile(optimizer, **compile_options(wrapped, objectives))
    return wrapped


def _fine_tune(
    work: Work, loaded: Loaded, wrapped: tf_keras.Model, saves: _KeptTraining
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
        return evaluate(loaded.predict, held_out.read, len(held_out), objectives, advance).metrics

    batches = shuffled_batches(dataset.train, training.batch_size, training.seed)
    course = _course(work, loaded)
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
        write_arrays(path, state.arrays)
        record = _TrainingRecord(
            seconds=self.stage.elapsed(),
            step=state.step,
            history=list(state.history),
            names=list(state.names),
        )
        return record, [path]

    def _read(self, record: _TrainingRecord, files: Mapping[str, Path]) -> Saved:
        (path,) = files.values()
        self.stage.earlier_s = record.seconds
        return Saved(record.step, record.history, record.names, read_arrays(path))


def _place(state: Saved) -> tuple[int, int]:
    """Steps done, and epochs that are over."""
    return state.step, len(state.history)
