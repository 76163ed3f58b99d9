"""What a search tries, and for how long, so that it fits into its budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tf_keras

from job.errors import InputError, StageError
from job.manifest.search import BudgetConfig
from job.result.search import TrialResult
from job.worker.next_trial import Family
from job.worker.trial_budget import (
    ENOUGH_EPOCHS,
    MOST_EPOCHS,
    BudgetRecord,
    budget_of,
    described,
    families_in,
    families_of,
    fitted,
)
from tests.support.searching import asked, bench_of, job_of, save_model


def families(
    folder: Path, *, is_trained: bool = True, has_clusters: bool = True, **search: Any
) -> list[Family]:
    job = job_of(folder, search=search)
    return families_in(job, is_trained=is_trained, has_clusters=has_clusters)


def test_clusters_are_those_of_eight_bits(folder: Path) -> None:
    """Narrower kernels have few values anyway."""
    found = families(folder)
    assert found == [Family(2), Family(4), Family(8), Family(8, 16), Family(8, 8)]
    assert families(folder, over={"clusters": [4]})[2:] == [Family(8, 4)]
    assert families(folder, has_clusters=False) == [Family(2), Family(4), Family(8)]


def test_clusters_need_a_layer_that_can_have_them(folder: Path, tmp_path: Path) -> None:
    """Known before any trial; where nothing else is asked for, the search is refused."""
    place = tmp_path / "bounded"
    place.mkdir()
    save_model(place, kernel_constraint=tf_keras.constraints.MaxNorm(2))
    assert families_of(bench_of(job_of(place, search=True), tmp_path / "all")) == [
        *(Family(2), Family(4), Family(8))
    ]
    alone = {"over": {"weight_bits": [8], "clusters": [8]}}
    with pytest.raises(InputError, match="no layer of the model can be clustered") as caught:
        families_of(bench_of(job_of(place, search=alone), tmp_path / "alone"))
    assert caught.value.where == "search.over.clusters"
    assert Family(8, 8) in families_of(bench_of(job_of(folder, search=True), tmp_path / "plain"))


@pytest.mark.parametrize("loss", [{"min_agreement": 0.99}, {"min_snr_db": 40}])
def test_outputs_that_are_to_stay_are_searched_from_eight_bits_on(
    folder: Path, loss: dict[str, Any]
) -> None:
    """Few values come last."""
    found = families(folder, **loss)
    assert found == [Family(8), Family(4), Family(8, 16), Family(8, 8), Family(2)]


def test_two_bits_need_training(folder: Path) -> None:
    """Without it they are left out."""
    over = {"weight_bits": [2, 4, 8], "clusters": [None]}
    assert families(folder, is_trained=False, over=over) == [Family(4), Family(8)]


def test_what_is_named_twice_is_tried_once(folder: Path) -> None:
    """In the order of the manifest."""
    twice = {"weight_bits": [8, 2, 8], "clusters": [16, 16]}
    assert families(folder, over=twice) == [Family(8, 16), Family(2)]


def budget(
    folder: Path, place: Path, training: dict[str, Any] | None = None, **search: Any
) -> BudgetRecord:
    sections: dict[str, Any] = {} if training is None else {"training": training}
    job = job_of(folder, search=search, **sections)
    assert job.search is not None
    bench = bench_of(job, place)
    return budget_of(bench, job.search, families_of(bench))


FREE = {"batch_size": 32, "validation_split": 0.3}


def probe(seconds: float, trained_s: float, epochs: int = 1) -> TrialResult:
    """A trial that was timed."""
    return TrialResult(
        number=0,
        settings=asked(epochs=epochs),
        bytes=1,
        sha256="",
        value=0,
        margin=0,
        passed=True,
        seconds=seconds,
        trained_s=trained_s,
    )


def test_trials_are_as_long_as_fits(folder: Path) -> None:
    """Up to where more gain little; a manifest's own number stays, whatever it takes."""
    hours = BudgetConfig(minutes=600)
    long = fitted(hours, 5, probe(3, 2), None)
    assert (long.long_epochs, long.short_epochs) == (MOST_EPOCHS, 15)
    assert (long.families, long.short_trials) == (5, 3)
    assert (long.epoch_s, long.overhead_s) == (1, 1)
    short = fitted(BudgetConfig(minutes=12.5), 5, probe(11, 10), None)
    assert ENOUGH_EPOCHS <= short.long_epochs < MOST_EPOCHS
    assert short.families < 5
    own = fitted(hours, 5, probe(3, 2), 100)
    assert (own.long_epochs, own.short_epochs) == (100, 25)
    assert "25 and 100 epochs" in described(job_of(folder, search=True), own, 5)
    more = fitted(hours, 5, probe(3, 2), MOST_EPOCHS + 1)
    assert (more.families, more.short_trials) == (5, 3)
    slow = fitted(BudgetConfig(minutes=1), 5, probe(50, 40), 100)
    assert (slow.long_epochs, slow.families, slow.short_trials) == (100, 1, 0)
    assert "the first 1 are tried" in described(job_of(folder, search=True), slow, 5)


@pytest.mark.parametrize("families", [1, 2, 5])
@pytest.mark.parametrize("trials", [1, 2, 3, 5, 12, 40])
@pytest.mark.parametrize("minutes", [0.1, 5, 600])
def test_a_plan_has_long_trials_and_fits(families: int, trials: int, minutes: float) -> None:
    """In time, but for one epoch that is always made, and in number."""
    given = BudgetConfig(minutes=minutes, trials=trials)
    found = fitted(given, families, probe(1.5, 1), None)
    short = found.short_trials * found.families
    assert short < trials
    assert 1 <= found.families <= families
    assert 1 <= found.short_epochs <= found.long_epochs <= MOST_EPOCHS
    if found.long_epochs > 1:
        least = (short * found.short_epochs + (trials - short)) * 2 * found.epoch_s
        assert least < 60 * minutes


@pytest.mark.parametrize(
    ("settings", "grid", "every"),
    [
        ({"weight_bits": 2, "epochs": 20}, 5, 25),
        ({"weight_bits": 4, "epochs": 1}, 1, 2),
        ({"weight_bits": 8, "epochs": 20}, 0, 20),
        ({"weight_bits": 8, "epochs": 20, "clusters": 16}, 5, 25),
        ({"weight_bits": 4, "epochs": 0}, 0, 0),
    ],
)
def test_the_epochs_of_all_trainings_are_counted(
    settings: dict[str, Any], grid: int, every: int
) -> None:
    """To prune, and with clusters or on a grid of few bits."""
    found = asked(**settings)
    assert (found.grid_epochs, found.all_epochs) == (grid, every)


def test_the_time_of_an_epoch_is_measured(folder: Path, tmp_path: Path) -> None:
    """Without that of building its training, which a longer one has once, too."""
    found = budget(folder, tmp_path, FREE, budget={"minutes": 600})
    assert 0 < found.epoch_s < found.overhead_s
    assert found.long_epochs == MOST_EPOCHS


@pytest.mark.parametrize("objective", [None, "none"])
def test_a_budget_that_is_too_small_for_a_trial_is_refused(
    folder: Path, tmp_path: Path, objective: str | None
) -> None:
    """With what it takes, and about how much would do."""
    training = FREE | ({"objective": objective} if objective else {})
    with pytest.raises(InputError) as caught:
        budget(folder, tmp_path, training, budget={"minutes": 0.0001})
    assert caught.value.exit_code == 3
    assert caught.value.where == "search.budget.minutes"
    assert "longer than all trials may take (0.0001)" in caught.value.what
    assert "minutes" in caught.value.hint


def test_without_training_there_are_no_epochs(folder: Path, tmp_path: Path) -> None:
    """The time of a trial counts."""
    found = budget(folder, tmp_path, {"objective": "none"})
    assert (found.short_epochs, found.long_epochs, found.epoch_s) == (0, 0, 0)
    assert found.overhead_s > 0
    assert described(job_of(folder, search=True), found, 4) == "nothing is trained"


def test_where_no_trial_makes_a_file_the_job_fails(folder: Path, tmp_path: Path) -> None:
    """With the reason, and what to do."""
    optimizer = {"type": "sgd", "learning_rate": 1e30}
    with pytest.raises(StageError, match=r"No trial makes a file.*diverged") as caught:
        budget(folder, tmp_path, FREE | {"optimizer": optimizer}, over={"weight_bits": [4]})
    assert "learning_rate" in caught.value.hint


def test_outputs_that_are_to_stay_have_few_families_with_three_short_trials_each() -> None:
    """The first is most likely the best, and its border is what is looked for."""
    few_trials = BudgetConfig(minutes=600, trials=16)
    plain = fitted(few_trials, 5, probe(3, 2), 12)
    assert (plain.families, plain.short_trials) == (5, 1)
    careful = fitted(few_trials, 5, probe(3, 2), 12, is_careful=True)
    assert (careful.families, careful.short_trials) == (4, 3)
    fewest = fitted(BudgetConfig(minutes=600, trials=7), 5, probe(3, 2), 12, is_careful=True)
    assert (fewest.families, fewest.short_trials) == (1, 3)


def test_the_layers_that_make_most_noise_are_known_where_they_may_be_wide(
    folder: Path, tmp_path: Path
) -> None:
    """They are in the checkpoint, so that a search that goes on makes the same ones wide."""
    sections = {"training": {"epochs": 1, **FREE}, "search": {"min_agreement": 0.5}}
    for place, kind in enumerate(("weight_only", "dynamic_range")):
        job = job_of(folder, quantize=[{"type": kind}], **sections)
        assert job.search is not None
        bench = bench_of(job, tmp_path / str(place))
        found = budget_of(bench, job.search, families_of(bench)).noisiest
        named = sorted(it.name for it in bench.loaded.file.model.layers if it.weights)
        assert sorted(found) == (named if kind == "weight_only" else [])
