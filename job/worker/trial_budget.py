"""What a search tries, and how long its trials are trained, so that they fit into the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from job.errors import InputError, StageError
from job.manifest.job import JobConfig
from job.manifest.quantize import WeightOnlyConfig
from job.manifest.search import BudgetConfig, SearchConfig
from job.result.record import Record
from job.result.search import TrialResult, TrialSettings
from job.worker.checkpoint_formats import record_of
from job.worker.clustering import can_cluster
from job.worker.next_trial import (
    GRID_SHARE,
    SEEDS,
    SHORT_TRIALS,
    Family,
    SearchPlan,
    trial_settings,
)
from job.worker.trial import Bench, run_trial
from job.worker.weight_noise import by_noise, shares

# More epochs than this gain little; with fewer than these, fewer families are tried instead.
MOST_EPOCHS, ENOUGH_EPOCHS = 60, 12
# Building a training takes longer than an epoch of small data. So where it takes no more than this
# share of the budget, a second trial of so many epochs tells what one more epoch takes.
PROBED, PROBE_EPOCHS = 0.25, 4
# After the short ones.
LEAST_LONG_TRIALS = 3
# Short trainings have this share of the epochs of long ones.
SHORT = 0.25
# This share of the budget is planned; the rest is for what takes longer than it should.
PLANNED = 0.85
# Where the model's own outputs are to stay: (weight_bits, whether clustered).
CAREFUL_ORDER = [(8, False), (4, False), (8, True), (2, False)]
# Rows that noise is measured on.
NOISE_ROWS = 256
# What to do where no trial makes a file.
NONE_MADE = (
    "Where the training diverges: lower training.optimizer.learning_rate, set clipnorm, or check "
    "the loss and the scale."
)
# Time is planned for so many long trials: about four for the border of one family, then other
# seeds. Where time is left, more are made.
LONG = 7


class BudgetRecord(Record):
    """How long trials are trained, so that they fit into the budget."""

    short_epochs: int
    long_epochs: int
    short_trials: int
    families: int
    """How many of the families are tried, in their order."""
    epoch_s: float
    """Seconds of an epoch, as it was measured."""
    overhead_s: float
    """Seconds of a trial beside its training."""
    noisiest: list[str] = Field(default=[])
    """The layers in the order in which they have more bits, where they may."""


def budget_of(bench: Bench, config: SearchConfig, families: Sequence[Family]) -> BudgetRecord:
    """How long trials of these families are trained, from the time that one or two take.

    Raises:
        InputError: Where not even that fits.
        StageError: Where no such trial makes a file.
    """
    is_trained = bench.loaded.plan is not None
    probe = _probe(bench, config, families)
    if probe.seconds > 60 * config.budget.minutes:
        what = "A trial of one epoch" if is_trained else "A trial"
        raise InputError(
            f"{what} takes {probe.seconds / 60:.2g} minutes, longer than all trials may take "
            f"({config.budget.minutes:g}).",
            where="search.budget.minutes",
            hint=f"Allow {math.ceil(40 * probe.seconds / 60):,} minutes or so.",
        )
    if is_trained and PROBE_EPOCHS * probe.trained_s <= PROBED * 60 * config.budget.minutes:
        longer = run_trial(bench, _longer(bench, probe.settings), probe.number)
        more = longer.settings.all_epochs - probe.settings.all_epochs
        an_epoch = (longer.trained_s - probe.trained_s) / more
        if not longer.failure:
            trained_s = max(an_epoch * probe.settings.all_epochs, probe.trained_s / 100)
            trained_s = min(probe.trained_s, trained_s)
            probe = probe.model_copy(update={"trained_s": round(trained_s, 3)})
    job = bench.work.job
    found = fitted(
        *(config.budget, len(families), probe, job.training.epochs), is_careful=job.keeps_outputs
    )
    if not _can_widen(bench.work.job):
        return found
    rows = bench.loaded.dataset.train.model_inputs(slice(0, NOISE_ROWS))
    order = by_noise(bench.loaded.file.model, bench.loaded.predict, rows)
    return found.model_copy(update={"noisiest": order})


def fitted(
    budget: BudgetConfig,
    families: int,
    probe: TrialResult,
    epochs: int | None,
    *,
    is_careful: bool = False,
) -> BudgetRecord:
    """As many families and short trials as leave enough epochs for the long ones.

    Args:
        budget: Of the manifest.
        families: How many there are.
        probe: A trial, and the seconds that the epochs of all its trainings take.
        epochs: Those of the manifest; None: as many as fit.
        is_careful: Whether the model's own outputs are to stay.
    """
    is_trained = probe.settings.epochs > 0
    epoch_s = probe.trained_s / probe.settings.all_epochs if is_trained else 0.0
    overhead_s = probe.seconds - probe.settings.all_epochs * epoch_s
    # Of trials that are pruned, and trained with the values of the file.
    a_trial_s = (1 + GRID_SHARE) * epoch_s
    # Where the model's own outputs are to stay, the first family is most likely the best.
    each = SHORT_TRIALS if is_careful else 1
    several = [(count, each) for count in range(families, 1, -1)]
    for count, short in [(families, SHORT_TRIALS), *several, (1, SHORT_TRIALS), (1, 0)]:
        long = min(budget.trials - short * count, LONG)
        if long < LEAST_LONG_TRIALS and short:
            continue  # too few trials
        left = PLANNED * 60 * budget.minutes - (short * count + long) * overhead_s
        # Half an epoch more for each is the teacher's.
        weighted = a_trial_s * (long + SHORT * short * count) + epoch_s / 2
        most = epochs or MOST_EPOCHS
        fits = max(1, min(most, int(left / weighted))) if weighted else most
        if fits >= (epochs or ENOUGH_EPOCHS):
            break
    used = (epochs or fits) if is_trained else 0
    return BudgetRecord(
        short_epochs=min(used, max(1, round(SHORT * used))),
        long_epochs=used,
        short_trials=short,
        families=count,
        epoch_s=round(epoch_s, 3),
        overhead_s=round(overhead_s, 3),
    )


def _probe(bench: Bench, config: SearchConfig, families: Sequence[Family]) -> TrialResult:
    """The first trial of one epoch that makes a file, of the families in their order."""
    epochs = int(bench.loaded.plan is not None)
    first = BudgetRecord(
        short_epochs=epochs,
        long_epochs=epochs,
        short_trials=1,
        families=len(families),
        epoch_s=0,
        overhead_s=0,
    )
    plan = plan_of(bench, config, families, first)
    for family in families:
        density = plan.densities(family).within(plan.first_density)
        asked = plan.settings(family, density, epochs, plan.seed)
        probe = run_trial(bench, asked, 0)
        if not probe.failure:
            return probe
    raise StageError(
        f"No trial makes a file. The last one, with {asked.described}: {probe.failure}",
        where="search",
        hint=NONE_MADE,
    )


def _longer(bench: Bench, asked: TrialSettings) -> TrialSettings:
    """The same trial with more epochs."""
    family = Family(asked.weight_bits, asked.clusters)
    is_careful = bench.work.job.keeps_outputs
    return trial_settings(family, asked.density, PROBE_EPOCHS, asked.seed, is_careful=is_careful)


def _can_widen(job: JobConfig) -> bool:
    """Whether layers may have more bits than others: where that is what most bytes are worth."""
    is_float = any(isinstance(it, WeightOnlyConfig) for it in job.quantize or ())
    return is_float and job.keeps_outputs


def families_of(bench: Bench) -> list[Family]:
    """What is searched beside the sparsity, the most promising first.

    Raises:
        InputError: Where nothing is left.
    """
    found = families_in(
        bench.work.job,
        is_trained=bench.loaded.plan is not None,
        has_clusters=can_cluster(bench.loaded.file.model),
    )
    if not found:
        raise InputError(
            "search.over asks for clusters alone, and no layer of the model can be clustered: "
            "kernels are too small, frozen, or have constraints that clusters would not keep.",
            where="search.over.clusters",
            hint="Add null, which is any number of values, or other weight_bits.",
        )
    return found


def families_in(job: JobConfig, *, is_trained: bool, has_clusters: bool) -> list[Family]:
    """What is searched of a manifest: 2 bits need training, and clusters a layer for them."""
    assert job.search is not None
    over = job.search.over
    clusters = [it for it in over.clusters if it is None or has_clusters]
    found = []
    for bits in over.weight_bits:
        if bits == 8:
            found += [Family(bits, it) for it in clusters]
        elif bits > 2 or is_trained:
            found.append(Family(bits))
    if job.keeps_outputs:
        found.sort(
            key=lambda family: CAREFUL_ORDER.index(
                (family.weight_bits, family.clusters is not None)
            )
        )
    return list(dict.fromkeys(found))


def plan_of(
    bench: Bench, config: SearchConfig, families: Sequence[Family], budget: BudgetRecord
) -> SearchPlan:
    """What is searched, and how long trials are trained."""
    lowest, highest = config.over.sparsity
    return SearchPlan(
        families=families[: budget.families],
        sparsity=(lowest, highest),
        short_epochs=budget.short_epochs,
        long_epochs=budget.long_epochs,
        short_trials=budget.short_trials,
        seed=bench.work.job.training.seed,
        seeds=SEEDS if budget.long_epochs else 1,
        is_careful=bench.work.job.keeps_outputs,
        wider=shares(bench.loaded.file.model, budget.noisiest),
    )


def described(job: JobConfig, budget: BudgetRecord, families: int) -> str:
    """How long trials are trained, and of how many families, for the result."""
    assert job.search is not None
    fewer = (
        f"; of {families} combinations of weight_bits and clusters the first {budget.families} are "
        "tried, for which there is time"
        if budget.families < families
        else ""
    )
    if not budget.long_epochs:
        return f"nothing is trained{fewer}"
    why = f"to fit into {job.search.budget.minutes:g} minutes"
    if job.training.epochs is not None:
        why = "since training.epochs says so"
    coarse = "" if job.keeps_outputs else " where it has clusters or fewer than 8 bits"
    return (
        f"an epoch takes {budget.epoch_s:.2g} s: trials are trained for {budget.short_epochs} and "
        f"{budget.long_epochs} epochs, and {100 * GRID_SHARE:g} % of that with the values of the "
        f"file{coarse}, {why}{fewer}"
    )


BUDGET = record_of(BudgetRecord)
