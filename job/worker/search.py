"""The search for the smallest file within a loss: trials, one after another, and a choice.

Which trial is next: ``next_trial.py``; what one is: ``trial.py``. The choice is made on held-out
rows; then the ordinary stages make the chosen file, and the test rows confirm it, once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from job.errors import StageError
from job.events import Stage
from job.manifest.job import JobConfig
from job.manifest.training import TeacherConfig
from job.metrics.artifact import Measured
from job.models.kernel_axes import kernel_sizes
from job.result.artifact import file_digest
from job.result.result import ArtifactResult
from job.result.search import SearchResult, TrialResult, TrialSettings, with_front
from job.result.training import RunOfTrainingResult
from job.worker.checkpoint_formats import record_of
from job.worker.context import Loaded, Work
from job.worker.convert import Conversion
from job.worker.judgement import Judgement, gate_of, judgement_of
from job.worker.next_trial import SearchPlan, by_its_figure, choose, next_trial
from job.worker.search_checks import refuse_unsearchable, warnings_of
from job.worker.teach import Teacher
from job.worker.teacher import find_teacher
from job.worker.trial import Bench, planned_for, run_trial
from job.worker.trial_budget import (
    BUDGET,
    NONE_MADE,
    BudgetRecord,
    budget_of,
    described,
    families_of,
    plan_of,
)
from job.worker.trial_job import optimizer_of, sections_of, settings_of, small_layers
from job.worker.weight_noise import noisiest

# Trials hold out this share of the training rows, where the manifest does not say.
VALIDATION_SPLIT = 0.1
# Where a teacher is trained: half as long as a long trial, and no longer than this.
TEACHER_EPOCHS = 10
# The names of checkpoints begin so.
TRIAL = "trial"


@dataclass(frozen=True)
class Found:
    """What a search has found: the job to do, without a search."""

    work: Work
    loaded: Loaded
    result: SearchResult
    chosen: TrialResult
    teacher: Teacher
    taught: RunOfTrainingResult | None
    """How the teacher was trained, if it was."""


def with_held_out_rows(job: JobConfig) -> JobConfig:
    """A job with a search, which holds rows out to choose by, and trains with one optimizer."""
    if job.search is None or job.objective.type == "none":
        return job
    update: dict[str, Any] = {"optimizer": optimizer_of(job)}
    data = job.dataset
    is_said = data is not None and (
        data.validation is not None or data.validation_share is not None
    )
    if job.training.validation_split is None and not is_said:
        update["validation_split"] = VALIDATION_SPLIT
    return job.model_copy(update={"training": job.training.model_copy(update=update)})


def search(work: Work, loaded: Loaded, how: Conversion, baseline: Measured) -> Found:
    """Search, or what is left of it.

    Args:
        work: The job.
        loaded: Its inputs.
        how: How the model is converted.
        baseline: The model that came in, measured on the test rows.

    Raises:
        InputError: Where nothing can be pruned, the metric is not measured, or the budget is too
            small for one trial.
        StageError: Where no trial makes a file.
    """
    config = work.job.search
    assert config is not None
    refuse_unsearchable(work, loaded)
    gate = gate_of(config, baseline.artifact, loaded)
    teacher, taught = find_teacher(work, loaded)
    of = file_digest(loaded.baseline.path)[1]
    with work.journal.stage("plan search") as stage:
        judgement = judgement_of(loaded, config, gate, baseline)
        stage.decide(f"trials are judged by {gate.type} {gate.value:g} on held-out rows")
        stage.decide(judgement.why)
        work.journal.warn(*warnings_of(judgement))
        bench = Bench(work, loaded, how, teacher, judgement)
        families = families_of(bench)
        budget = work.checkpoints.restore_or_make(
            f"{TRIAL} budget", of, BUDGET, lambda: budget_of(bench, config, families), stage
        )
        stage.decide(described(work.job, budget, len(families)))
    if (with_teacher := _with_teacher(work, budget)) is not work:
        work = with_teacher
        teacher, taught = find_teacher(work, loaded)
    with work.journal.stage("search") as stage:
        bench = replace(bench, work=work, teacher=teacher, noisiest=budget.noisiest)
        plan = plan_of(bench, config, families, budget)
        trials, ended = _trials(bench, plan, budget, of, stage)
        if all(it.failure for it in trials):
            raise StageError(
                f"No trial of {len(trials)} makes a file. The last one, with "
                f"{trials[-1].settings.described}: {trials[-1].failure}",
                where="search",
                hint=NONE_MADE,
            )
        _show(stage, trials, len(trials), 0)
        chosen = choose(trials)
        stage.decide(ended, _choice(chosen, trials))
    if not chosen.passed:
        work.journal.warn(
            "No trial is within the loss on held-out rows: the nearest one is published (trial "
            f"{chosen.number}, {-chosen.margin:.4g} beyond the limit). Allow a larger loss, a "
            f"larger budget, or a lower sparsity{_more_rows(judgement, chosen)}."
        )
    model, settings = loaded.file.model, chosen.settings
    wide = noisiest(model, budget.noisiest, settings.wide)
    names = kernel_sizes(model)
    job = settings_of(work.job, settings, small_layers(model), wide, names)
    (variant,) = job.variants
    # The variant must pass; and no other file that does not is chosen in its place.
    binding = gate.model_copy(update={"artifact": variant})
    job = job.model_copy(update={"gates": (*job.gates, gate, binding)})
    result = SearchResult(
        gate=judgement.gate.model_dump(mode="json", exclude_none=True),
        rows=judgement.evaluator.samples.count,
        reference=judgement.why,
        trials=with_front(trials),
        chosen=chosen.number,
        reason=_choice(chosen, trials),
        ended=ended,
        sections=sections_of(job),
    )
    settled = replace(loaded, plan=planned_for(job, loaded))
    return Found(replace(work, job=job), settled, result, chosen, teacher, taught)


def _trials(
    bench: Bench, plan: SearchPlan, budget: BudgetRecord, of: str, stage: Stage
) -> tuple[list[TrialResult], str]:
    """All trials, and why there are no more."""
    config = bench.work.job.search
    assert config is not None
    done: list[TrialResult] = []
    seconds = 60 * config.budget.minutes
    while (asked := next_trial(done, plan)) is not None:
        spent = sum(it.seconds for it in done)
        needed = budget.overhead_s + asked.all_epochs * budget.epoch_s
        if len(done) == config.budget.trials:
            return done, f"{len(done)} trials were made, which is the budget"
        if done and spent + needed > seconds:
            return done, (
                f"{len(done)} trials took {spent / 60:.1f} minutes of {config.budget.minutes:g}, "
                f"and another one would take {needed / 60:.1f}"
            )
        number = len(done) + 1
        _show(stage, done, config.budget.trials, seconds - spent)

        def make(asked: TrialSettings = asked, number: int = number) -> TrialResult:
            _announce(stage, asked, number, config.budget.trials)
            return run_trial(bench, asked, number)

        name = f"{TRIAL} {number}"
        found = bench.work.checkpoints.restore_or_make(
            name, f"{of} {asked.model_dump_json()}", RECORD, make, None
        )
        done.append(found)
    return done, f"after {len(done)} trials the border is known as well as it can be"


def _more_rows(judgement: Judgement, chosen: TrialResult) -> str:
    """What else would help where the interval, and not the figure, is beyond the limit."""
    itself = by_its_figure(chosen)
    if not itself.passed:
        return ""
    rows = judgement.evaluator.samples.count
    return f"; or hold out more than {rows:,} rows, which make the interval so wide"


def _announce(stage: Stage, asked: TrialSettings, number: int, most: int) -> None:
    """Report that a trial begins."""
    epochs = f", {asked.epochs} epochs" if asked.epochs else ""
    stage.emit(
        {
            "event": "trial_started",
            "stage": stage.name,
            "trial": number,
            "of": most,
            "what": f"trial {number} of at most {most}: {asked.described}{epochs}",
            **asked.model_dump(mode="json"),
        }
    )


def _show(stage: Stage, done: list[TrialResult], total: int, left: float) -> None:
    figures = {"left_s": max(0.0, left)}
    best = choose(done) if done else None
    if best is not None and not best.failure:
        figures |= {"best_bytes": float(best.bytes), "margin": best.margin}
    stage.advance(len(done), total, figures)


def _choice(chosen: TrialResult, trials: list[TrialResult]) -> str:
    passing = sum(it.passed for it in trials)
    failed = sum(bool(it.failure) for it in trials)
    why = (
        f"the smallest of {passing} that pass"
        if chosen.passed
        else "none passes; it is the nearest"
    )
    text = f"trial {chosen.number} of {len(trials)} is chosen ({chosen.settings.described}): {why}"
    return f"{text}; {failed} made no file" if failed else text


def _with_teacher(work: Work, budget: BudgetRecord) -> Work:
    """The same with a teacher that is trained, where the job learns from targets."""
    training = work.job.training
    if training.teacher or training.objective is not None or not budget.long_epochs:
        return work
    if work.job.objective.type != "supervised":
        return work
    epochs = min(TEACHER_EPOCHS, max(1, budget.long_epochs // 2))
    teacher = TeacherConfig(epochs=epochs)
    job = work.job.model_copy(update={"training": training.model_copy(update={"teacher": teacher})})
    return replace(work, job=job)


def differs(result: ArtifactResult, chosen: TrialResult) -> list[str]:
    """A warning where the file that was made is not the one that was chosen."""
    if result.sha256 == chosen.sha256:
        return []
    text = (
        f"The file that was made with the chosen settings ({result.path}) differs from that of "
        f"trial {chosen.number}: something in the training is not deterministic on this machine. "
        "Its own figures are those of the result."
    )
    return [text]


RECORD = record_of(TrialResult)
