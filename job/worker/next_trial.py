"""Which trial a search makes next: a function of those that it has made.

Bytes fall with the sparsity, and so does the quality, though not evenly: seeds differ. So for each
family (a width of the weights, or a number of clusters) the border is looked for at which files
begin to fail:

1. with short trainings, a few trials for each family. Longer ones are better, so a short one passes
   where its figure itself is within the loss, whatever its confidence interval;
2. with long ones, for the family whose passing file was smallest, and for the second one if its
   file is nearly as small (successive halving: Jamieson and Talwalkar,
   https://arxiv.org/abs/1502.07943);
3. at the border of the better one, with other seeds, and from there towards fewer bytes.

The border is between the sparsest file that passes and the densest one beyond it that fails; the
next trial is between them, by the logarithm of the density, nearer to the one whose quality is
nearer to the limit. No clock is asked here, so a search that was stopped goes on to the same
choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from job.manifest.quantize import WeightBits
from job.metrics.gates import TOLERANCE
from job.result.search import TrialResult, TrialSettings
from job.worker.border import Densities, Pace, between, next_density, same, sparsest_passing

# Where the first family starts: a twentieth of the weights; where the model's own outputs are to
# stay, which few weights can't give, all of them.
FIRST_DENSITY, CAREFUL_DENSITY = 0.05, 1.0
# Beyond 1 a density is 1 and the share of the weights in wider layers. By the width of the others,
# how large that may be: all in float16, or half in 8 bits, beyond which 8 bits alone are tried.
MOST_WIDE: dict[int, float] = {8: 1.0, 4: 0.5}
SHORT_TRIALS = 3
# Some weight stays.
MOST_SPARSE = 0.99999
# Short trials find where a border is about, long ones where it is.
COARSE, FINE = Pace(2.5, 1.4, SHORT_TRIALS), Pace(1.5, 1.06, 5)
# The epochs with the values of a file (its grid, or clusters), as a share of those before: the loss
# on held-out rows is lowest after a few of them, and rises then.
GRID_SHARE = 0.25
# So many families get long trainings at most; one whose smallest file is larger than the best one's
# by more than this factor gets none.
FINALISTS = 2
NEARLY = 1.15
SEEDS = 3
# Long trainings have better files: they start so much beyond the short ones' border.
FURTHER = 1.25


@dataclass(frozen=True)
class Family:
    """Settings between which sizes do not compare by sparsity alone."""

    weight_bits: WeightBits
    clusters: int | None = None

    def has(self, trial: TrialResult) -> bool:
        """Whether a trial is of this family."""
        found = trial.settings
        return (found.weight_bits, found.clusters) == (self.weight_bits, self.clusters)


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, and how long trials are trained."""

    families: Sequence[Family]
    sparsity: tuple[float, float]
    """The lowest and the highest."""
    short_epochs: int
    long_epochs: int
    short_trials: int = SHORT_TRIALS
    """Of each family; 0: only the first family is tried, with long trainings."""
    seed: int = 0
    seeds: int = SEEDS
    """How many are tried at the border; 1 where nothing is trained."""
    is_careful: bool = False
    """Whether the model's own outputs are to stay."""
    wider: Sequence[float] = ()
    """The shares of the weights that layers of more bits may have, rising: a layer is whole."""

    @property
    def first_density(self) -> float:
        """Where the first family starts."""
        return CAREFUL_DENSITY if self.is_careful else FIRST_DENSITY

    def densities(self, family: Family) -> Densities:
        """Those of a family; without clusters and a lowest sparsity it may have wider layers."""
        low, high = self.sparsity
        most = 0.0 if family.clusters or low else MOST_WIDE.get(family.weight_bits, 0.0)
        steps = [1 + it for it in self.wider if it <= most]
        return Densities(1 - high, max([1 - low, *steps]), steps)

    def settings(self, family: Family, density: float, epochs: int, seed: int) -> TrialSettings:
        """Those of a trial."""
        return trial_settings(family, density, epochs, seed, is_careful=self.is_careful)


def next_trial(done: Sequence[TrialResult], plan: SearchPlan) -> TrialSettings | None:
    """The settings of the next trial; None where the border is known as well as it can be.

    Args:
        done: The trials so far.
        plan: What is searched.
    """
    first_seed = [it for it in done if it.settings.seed == plan.seed]
    short = [by_its_figure(it) for it in first_seed if it.settings.epochs == plan.short_epochs]
    coarse = replace(COARSE, most=plan.short_trials)
    for family in plan.families if plan.short_trials else ():
        own = [it for it in short if family.has(it)]
        start = sparsest_passing(short) or plan.first_density
        density = next_density(own, plan.densities(family), start, coarse)
        if density is not None and not _is_beaten(own, density, short):
            return plan.settings(family, density, plan.short_epochs, plan.seed)
    finalists = _finalists(short, plan.families) if plan.short_trials else plan.families[:1]
    long = [it for it in first_seed if it.settings.epochs == plan.long_epochs]
    for family in finalists:
        own = [it for it in long if family.has(it)]
        start = _start(short, family, plan)
        density = next_density(own, plan.densities(family), start, FINE)
        if density is not None:
            return plan.settings(family, density, plan.long_epochs, plan.seed)
    winner = ranked(long, finalists)[0]
    trained_long = [it for it in done if it.settings.epochs == plan.long_epochs and winner.has(it)]
    return _other_seed(trained_long, winner, plan)


def _is_beaten(own: Sequence[TrialResult], density: float, short: Sequence[TrialResult]) -> bool:
    """Whether a family's next file would be too large to win: bytes rise with the density."""
    best = min((it.bytes for it in short if it.passed), default=math.inf)
    sizes = sorted((it.settings.density, it.bytes) for it in own if not it.failure)
    below = [it for it in sizes if it[0] <= density]
    beyond = [it for it in sizes if it[0] > density]
    if not below:
        return False
    (low, size), (high, larger) = below[-1], (beyond or below)[0]
    if high > low:
        size += round((larger - size) * math.log(density / low) / math.log(high / low))
    return size > NEARLY * best


def by_its_figure(trial: TrialResult) -> TrialResult:
    """A trial as it is judged without a confidence."""
    if trial.bound is None or trial.value is None:
        return trial
    margin = trial.margin + abs(trial.bound - trial.value)
    return trial.model_copy(update={"margin": margin, "passed": margin >= -TOLERANCE})


def ranked(trials: Sequence[TrialResult], families: Sequence[Family]) -> list[Family]:
    """Families by their smallest passing file; those without one behind them, by their margin."""

    def rank(family: Family) -> tuple[bool, float]:
        smallest = _smallest_passing(trials, family)
        if smallest is not None:
            return False, smallest
        return True, -max((it.margin for it in trials if family.has(it)), default=-math.inf)

    return sorted(families, key=rank)


def _finalists(trials: Sequence[TrialResult], families: Sequence[Family]) -> list[Family]:
    """The families that are worth long trainings, the best first."""
    best, *others = ranked(trials, families)[:FINALISTS]
    smallest = _smallest_passing(trials, best)
    if smallest is None:
        return [best, *others]
    found = {it: _smallest_passing(trials, it) for it in others}
    return [best, *(it for it, size in found.items() if size and size <= NEARLY * smallest)]


def _smallest_passing(trials: Sequence[TrialResult], family: Family) -> int | None:
    return min((it.bytes for it in trials if family.has(it) and it.passed), default=None)


def choose(trials: Sequence[TrialResult]) -> TrialResult:
    """The smallest trial that passes, of equal ones the better; where none does, the nearest of
    those that made a file.
    """
    passing = [it for it in trials if it.passed]
    if passing:
        return min(passing, key=lambda trial: (trial.bytes, -trial.margin, trial.number))
    made = [it for it in trials if not it.failure] or trials
    return max(made, key=lambda trial: (trial.margin, -trial.bytes, -trial.number))


def _other_seed(
    trials: Sequence[TrialResult], family: Family, plan: SearchPlan
) -> TrialSettings | None:
    """Another seed at the densest setting beyond the border; where all seeds fail there, one
    nearer to the border.
    """
    passing = sparsest_passing(trials)
    if passing is None:
        return None
    densities = plan.densities(family)
    beyond = sorted({it.settings.density for it in trials if it.settings.density < passing})
    if not beyond:
        sparser = densities.nearest(passing / FURTHER, high=passing)
        return None if same(passing, densities.low) else _seed_at(trials, family, sparser, plan)
    nearest = beyond[-1]
    again = _seed_at(trials, family, nearest, plan)
    if again is not None:
        return again
    failing = max(
        (it for it in trials if same(it.settings.density, nearest)), key=lambda trial: trial.margin
    )
    return _seed_at(trials, family, between(trials, passing, failing, densities, FINE.near), plan)


def _seed_at(
    trials: Sequence[TrialResult], family: Family, density: float | None, plan: SearchPlan
) -> TrialSettings | None:
    if density is None:
        return None
    used = {it.settings.seed for it in trials if same(it.settings.density, density)}
    free = [seed for seed in range(plan.seed, plan.seed + plan.seeds) if seed not in used]
    return plan.settings(family, density, plan.long_epochs, free[0]) if free else None


def _start(short: Sequence[TrialResult], family: Family, plan: SearchPlan) -> float:
    own = [it for it in short if family.has(it)]
    passing = sparsest_passing(own)
    if passing is None:
        return plan.first_density
    # What longer trainings gain, the interval takes away again.
    is_by_interval = any(it.bound is not None for it in own)
    return passing if is_by_interval else passing / FURTHER


def trial_settings(
    family: Family, density: float, epochs: int, seed: int, *, is_careful: bool
) -> TrialSettings:
    """The settings of a trial; 0 epochs: nothing is trained."""
    sparsity = min(MOST_SPARSE, round(max(0.0, 1 - density), 5))
    wide = round(max(0.0, density - 1), 5)
    if wide == 1:
        grid_epochs = 0
    elif sparsity == 0:  # there is no other training
        grid_epochs = epochs
    else:
        has_few = family.weight_bits < 8 or family.clusters or is_careful
        grid_epochs = max(1, round(GRID_SHARE * epochs)) if epochs and has_few else 0
    return TrialSettings(
        sparsity=sparsity,
        wide=wide,
        weight_bits=family.weight_bits,
        clusters=family.clusters,
        epochs=epochs,
        grid_epochs=grid_epochs,
        seed=seed,
    )
