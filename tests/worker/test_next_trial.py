"""The choice of the next trial, against made-up worlds in which the border is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.result.search import TrialResult, TrialSettings, with_front
from job.worker.next_trial import Family, SearchPlan, choose, next_trial, ranked

TERNARY, FOUR, EIGHT = Family(2), Family(4), Family(8)
# Bits that each family takes for a weight that is not zero, and the density at which it fails.
COST = {2: 6.0, 4: 9.0, 8: 12.0}
PLAN = SearchPlan((TERNARY, FOUR, EIGHT), (0.3, 0.998), short_epochs=2, long_epochs=8)


def measured(
    asked: TrialSettings, number: int, border: dict[int, float], noise: float = 0.0
) -> TrialResult:
    """A trial in a world where a file passes above its family's border; long trainings help."""
    here = border[asked.weight_bits] / (1.2 if asked.epochs == PLAN.long_epochs else 1.0)
    luck = np.random.default_rng([asked.seed, number]).normal(0, noise) if noise else 0.0
    margin = float(np.log(asked.density / here)) / 100 + luck
    return TrialResult(
        number=number,
        settings=asked,
        bytes=500 + round(20_000 * asked.density * COST[asked.weight_bits] / 8),
        sha256="",
        value=-margin,
        margin=margin,
        passed=margin >= 0,
        seconds=1,
    )


def searched(
    border: dict[int, float], plan: SearchPlan = PLAN, noise: float = 0.0
) -> list[TrialResult]:
    done: list[TrialResult] = []
    while (asked := next_trial(done, plan)) is not None and len(done) < 200:
        done.append(measured(asked, len(done) + 1, border, noise))
    return done


def test_the_border_of_the_best_family_is_found() -> None:
    """The chosen file is within a tenth of the smallest that there is."""
    done = searched({2: 0.06, 4: 0.05, 8: 0.05})
    chosen = choose(done)
    assert chosen.settings.weight_bits == 2
    assert chosen.settings.epochs == PLAN.long_epochs
    assert 0.05 <= chosen.settings.density <= 0.055
    assert len(done) < 40


def test_a_wider_family_wins_where_the_narrow_one_needs_many_more_weights() -> None:
    """Bytes decide, not bits."""
    assert choose(searched({2: 0.2, 4: 0.05, 8: 0.05})).settings.weight_bits == 4


@settings(max_examples=60, deadline=None)
@given(st.floats(0.003, 0.6), st.floats(0.003, 0.6), st.floats(0.003, 0.6), st.floats(0, 0.002))
def test_any_search_ends_and_chooses_what_passes(
    a: float, b: float, c: float, noise: float
) -> None:
    """Wherever the borders are, and though seeds differ."""
    done = searched({2: a, 4: b, 8: c}, noise=noise)
    assert 0 < len(done) < 60
    asked = [it.settings for it in done]
    assert len({it.model_dump_json() for it in asked}) == len(asked)  # nothing is tried twice
    all_of = PLAN.densities(TERNARY)
    assert all(all_of.low - 1e-4 <= it.density <= all_of.high + 1e-4 for it in asked)
    passing = [it for it in done if it.passed]
    assert choose(done).passed == bool(passing)
    assert all(choose(done).bytes <= it.bytes for it in passing)


def test_where_nothing_passes_the_densest_is_tried_and_the_nearest_chosen() -> None:
    """Each family at its densest; the choice is the one with the best margin."""
    done = searched({2: 5.0, 4: 4.0, 8: 3.0})
    assert not any(it.passed for it in done)
    assert {it.settings.density for it in done if it.settings.epochs == 8} >= {0.7}
    assert choose(done).margin == max(it.margin for it in done)


def test_other_seeds_are_tried_at_the_border() -> None:
    """Beyond the sparsest file that passes, and no more than three for a setting."""
    done = searched({2: 0.06, 4: 0.05, 8: 0.05})
    others = [it.settings for it in done if it.settings.seed != PLAN.seed]
    assert {it.seed for it in others} == {1, 2}
    assert {it.weight_bits for it in others} == {2}


def test_without_training_one_seed_is_enough() -> None:
    """Seeds differ in the training alone."""
    plan = SearchPlan((FOUR, EIGHT), (0.3, 0.998), 0, 0, seeds=1)
    done = searched({4: 0.3, 8: 0.25}, plan)
    assert {it.settings.seed for it in done} == {0}
    assert choose(done).passed


@pytest.mark.parametrize("cut", range(0, 24, 3))
def test_a_search_that_goes_on_makes_the_same_trials(cut: int) -> None:
    """The next trial follows from those before, and from nothing else."""
    border = {2: 0.06, 4: 0.05, 8: 0.05}
    done = searched(border)
    again = done[:cut]
    while (asked := next_trial(again, PLAN)) is not None:
        again.append(measured(asked, len(again) + 1, border))
    assert again == done


def test_a_short_search_has_long_trials_of_the_first_family_alone() -> None:
    """Where the budget has no room for more."""
    plan = SearchPlan((TERNARY, FOUR), (0.3, 0.998), 8, 8, short_trials=0)
    assert {it.settings.weight_bits for it in searched({2: 0.06, 4: 0.01}, plan)} == {2}


def test_the_front_has_what_no_other_trial_beats_in_both() -> None:
    """Against every pair, one by one."""
    done = with_front(searched({2: 0.06, 4: 0.05, 8: 0.05}))
    front = [it for it in done if it.is_on_front]
    for it in done:
        better = [o for o in done if o.bytes < it.bytes and o.margin > it.margin]
        assert it.is_on_front <= (not better)
    assert choose(done).number in {it.number for it in front}


def test_only_a_family_that_is_nearly_as_small_is_trained_long_beside_the_best() -> None:
    """Its short trainings tell."""
    for border, wanted in (
        ({2: 0.06, 4: 0.06, 8: 0.05}, {2}),
        ({2: 0.06, 4: 0.041, 8: 0.05}, {2, 4}),
    ):
        long = [it for it in searched(border) if it.settings.epochs == PLAN.long_epochs]
        assert {it.settings.weight_bits for it in long} == wanted


def test_short_trials_are_judged_by_their_figure_long_ones_by_its_interval() -> None:
    """So that the family that fails by its interval alone is trained long."""

    def trial(asked: TrialSettings, number: int) -> TrialResult:
        found = measured(asked, number, {2: 0.05, 4: 0.5, 8: 0.5})
        margin = found.margin - 0.01
        update = {"bound": 0.01 - found.margin, "margin": margin, "passed": margin >= 0}
        return found.model_copy(update=update)

    done: list[TrialResult] = []
    while (asked := next_trial(done, PLAN)) is not None:
        done.append(trial(asked, len(done) + 1))
    long = [it for it in done if it.settings.epochs == PLAN.long_epochs]
    assert {it.settings.weight_bits for it in long} == {2}
    assert choose(done).passed
    assert choose(done).settings.density > 2 * 0.05  # the interval is e ** 1 of the density


def test_a_family_whose_next_file_would_be_too_large_is_left() -> None:
    """Beyond what fails there, or between that and what passes: bytes rise with the density."""
    done = searched({2: 0.06, 4: 0.5, 8: 0.05})
    best = min(it.bytes for it in done if it.passed and it.settings.epochs == PLAN.short_epochs)
    four = [it for it in done if it.settings.weight_bits == 4]
    assert [it.passed for it in four] == [False]
    assert four[0].bytes > 1.15 * best
    eight = [it for it in searched({2: 0.06, 4: 0.5, 8: 0.055}) if it.settings.weight_bits == 8]
    assert [it.passed for it in eight] == [True, False]
    assert eight[1].bytes < best < eight[0].bytes


def test_families_without_a_passing_file_come_last() -> None:
    """Among them the one whose quality is nearest to the limit is first."""
    border = {2: 0.9, 4: 0.6, 8: 0.1}
    trials = [
        measured(PLAN.settings(family, 0.5, 2, 0), number, border)
        for number, family in enumerate((TERNARY, FOUR, EIGHT), 1)
    ]
    assert ranked(trials, (TERNARY, FOUR, EIGHT)) == [EIGHT, FOUR, TERNARY]


WIDER = [it / 50 for it in range(1, 51)]
CAREFUL = SearchPlan((EIGHT, FOUR), (0.0, 0.998), 2, 8, is_careful=True, wider=WIDER)


def test_outputs_that_are_to_stay_are_searched_from_all_weights_on() -> None:
    """Where 8 bits are within the loss, weights are pruned, on the grid of the file too."""
    done = searched({2: 9, 4: 9, 8: 0.3}, CAREFUL)
    first = done[0].settings
    assert (first.sparsity, first.wide, first.epochs, first.grid_epochs) == (0, 0, 2, 2)
    assert first.all_epochs == 2  # nothing is pruned, so it is trained on the grid alone
    assert choose(done).settings.density == pytest.approx(0.25, rel=0.1)
    pruned = [it.settings for it in done if it.settings.is_pruned]
    assert {it.grid_epochs for it in pruned if it.epochs == 8} == {2}
    assert not any(it.settings.wide for it in done)


def test_where_eight_bits_are_not_enough_some_layers_are_wide() -> None:
    """No more than have to be; of no other family."""
    done = searched({2: 9, 4: 9, 8: 1.5}, CAREFUL)
    chosen = choose(done).settings
    assert (chosen.weight_bits, chosen.sparsity) == (8, 0)
    assert 0.25 <= chosen.wide <= 0.32
    assert chosen.density == 1 + chosen.wide
    assert chosen.described.startswith("0 % zeros, 8 bits, of which ")
    assert chosen.described.endswith(" % in float16")
    all_wide = next(it.settings for it in done if it.settings.wide == 1)
    assert (all_wide.grid_epochs, all_wide.all_epochs) == (0, 0)  # there is nothing to train
    assert max(it.settings.wide for it in done if it.settings.weight_bits == 4) == 0.5


def test_where_four_bits_are_not_enough_some_layers_have_eight() -> None:
    """Half of the weights at most: that takes less than 8 bits everywhere."""
    done = searched({2: 9, 4: 1.25, 8: 1.0}, CAREFUL)
    chosen = choose(done).settings
    assert (chosen.weight_bits, chosen.sparsity) == (4, 0)
    assert 0.04 <= chosen.wide <= 0.1
    assert chosen.described.endswith(" % in 8 bits")
    assert not any(it.settings.wide for it in done if it.settings.weight_bits == 8)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.1, 3), st.floats(0.1, 3), st.lists(st.floats(0.01, 1), max_size=6), st.booleans()
)
def test_layers_are_whole(four: float, eight: float, shares: list[float], all_too: bool) -> None:
    """However few there are: no share is tried that none of them makes, and no file twice."""
    found = sorted({round(it, 5) for it in shares} | ({1.0} if all_too else set()))
    plan = SearchPlan((EIGHT, FOUR), (0.0, 0.998), 2, 8, is_careful=True, wider=found)
    done = searched({4: four, 8: eight}, plan)
    asked = [it.settings for it in done]
    assert {it.wide for it in asked} <= {0.0, *found}
    assert len({it.model_dump_json() for it in asked}) == len(asked)


def test_no_layer_is_wide_where_a_file_has_no_float16_or_few_weights_are_asked_for() -> None:
    """The highest density is then that of the lowest sparsity."""
    for plan in (
        SearchPlan((EIGHT,), (0.0, 0.998), 2, 8, is_careful=True),
        SearchPlan((EIGHT,), (0.5, 0.998), 2, 8, is_careful=True, wider=WIDER),
    ):
        done = searched({8: 9}, plan)
        assert not any(it.settings.wide for it in done)
        assert max(it.settings.density for it in done) == 1 - plan.sparsity[0]
