"""A search within this process: what it reports, what it finds, and that it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, StageError
from job.events import Event, Journal
from job.resume.checkpoints import Checkpoints
from job.worker.search import Found, differs, search, with_held_out_rows
from tests.support.searching import baseline_of, bench_of, job_of
from tests.worker.test_verdict import made

TRIALS = 3
SEARCH: dict[str, Any] = {
    "max_drop": 0.1,
    "budget": {"minutes": 500, "trials": TRIALS},
    "over": {"weight_bits": [4], "sparsity": [0.3, 0.98]},
}


def searched(
    folder: Path, place: Path, events: list[Event], saved: Path | None = None, **sections: Any
) -> Found:
    """A search; with the checkpoints of another one where ``saved`` is given."""
    bench = bench_of(job_of(folder, **({"search": SEARCH} | sections)), place, events)
    work = bench.work
    if saved is not None:
        work = replace(work, checkpoints=Checkpoints(saved, Journal(events.append), float("inf")))
    return search(work, bench.loaded, bench.how, baseline_of(bench.loaded))


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, list[Event], Path]:
    events: list[Event] = []
    place = tmp_path_factory.mktemp("done")
    return searched(folder, place, events), events, place / "checkpoints"


def test_every_trial_is_announced_and_counted(done: tuple[Found, list[Event], Path]) -> None:
    """Which of how many, and its settings; before it the best so far, and the time left."""
    found, events, _ = done
    begun = [it for it in events if it["event"] == "trial_started"]
    assert [it["trial"] for it in begun] == [1, 2, 3]
    assert {it["of"] for it in begun} == {TRIALS}
    assert {it["stage"] for it in begun} == {"search"}
    for event, tried in zip(begun, found.result.trials, strict=True):
        settings = tried.settings.model_dump()
        assert {name: event[name] for name in settings} == settings
    assert begun[0]["what"].startswith("trial 1 of at most 3: 95 % zeros, 4 bits, ")
    ended = [it for it in events if it["event"] == "progress" and it["stage"] == "search"]
    assert (ended[-2]["done"], ended[-2]["total"]) == (TRIALS - 1, TRIALS)
    assert ended[-2]["left_s"] > 0
    assert (ended[-1]["done"], ended[-1]["total"]) == (TRIALS, TRIALS)
    assert ended[-1]["best_bytes"] == next(
        it.bytes for it in found.result.trials if it.number == found.chosen.number
    )


def test_what_was_found_is_a_job_without_a_search(done: tuple[Found, list[Event], Path]) -> None:
    """With the chosen settings, its gate on the file, and a plan for its training."""
    found, _, _ = done
    job = found.work.job
    assert job.search is None
    assert job.prune is not None
    assert job.prune.schedule.type == "polynomial_decay"
    assert job.prune.schedule.final_sparsity == found.chosen.settings.sparsity
    gate = {"type": "max_drop", "metric": "accuracy", "value": 0.1}
    assert [it.model_dump(exclude_none=True) for it in job.gates] == [
        *(gate, gate | {"artifact": "dynamic_range"})
    ]
    assert found.loaded.plan is not None
    assert found.loaded.plan.epochs == found.chosen.settings.epochs
    assert found.result.rows == 48
    assert found.result.chosen == found.chosen.number
    assert found.result.ended == "3 trials were made, which is the budget"
    assert any(it.is_on_front for it in found.result.trials)


def test_a_teacher_is_trained_once(done: tuple[Found, list[Event], Path]) -> None:
    """For all trials and for the chosen file: nothing of it was restored."""
    found, events, _ = done
    stages = [it["stage"] for it in events if it["event"] == "stage_started"]
    assert stages.count("teacher") == 1
    assert found.taught is not None
    assert found.teacher.start is not None
    assert found.work.job.training.teacher is not None
    assert found.work.checkpoints.restored == []
    assert not [it for it in events if it["event"] == "stage_resumed"]


def test_a_search_that_was_done_is_not_made_again(
    done: tuple[Found, list[Event], Path], folder: Path, tmp_path: Path
) -> None:
    """Its trials are restored, with their times; the choice is the same."""
    found, _, saved = done
    events: list[Event] = []
    again = searched(folder, tmp_path / "again", events, saved)
    assert again.result == found.result
    assert not [it for it in events if it["event"] == "trial_started"]
    assert {f"trial {it}" for it in (1, 2, 3)} <= set(again.work.checkpoints.restored)


def test_a_value_that_the_baseline_does_not_reach_is_a_warning(
    folder: Path, tmp_path: Path
) -> None:
    """Training may reach it; a trial that does not has the limit's own figure."""
    events: list[Event] = []
    limit = {"min_value": 1e-9, "metric": "loss", "budget": {"minutes": 500, "trials": 1}}
    config = SEARCH | limit | {"max_drop": None}
    found = searched(folder, tmp_path / "least", events, search=config)
    (text,) = [it["message"] for it in events if "min_value asks for 1e-09" in str(it)]
    assert text.startswith("The model that came in has loss ")
    assert not found.chosen.passed
    assert found.chosen.value == found.chosen.metrics["loss"]
    assert found.result.gate == {"type": "min_value", "metric": "loss", "value": 1e-9}


def test_where_no_trial_makes_a_file_the_job_fails(folder: Path, tmp_path: Path) -> None:
    """With the reason of the last one."""
    training = {"epochs": 2, "batch_size": 32, "validation_split": 0.3,
                "optimizer": {"type": "sgd", "learning_rate": 1e30}}  # fmt: skip
    events: list[Event] = []
    with pytest.raises(StageError, match=r"(?s)No trial.*diverged") as caught:
        searched(folder, tmp_path / "failing", events, training=training)
    assert caught.value.exit_code == 4


def test_a_model_without_anything_to_prune_is_refused_before_any_trial(
    folder: Path, tmp_path: Path
) -> None:
    """A trial that prunes nothing would pass, and the next one fail."""
    events: list[Event] = []
    with pytest.raises(InputError, match="there is nothing to search for") as caught:
        searched(folder, tmp_path / "nothing", events, prune={"min_weights": 10**9})
    assert caught.value.where == "search"
    assert "leave search out" in caught.value.hint
    assert not [it for it in events if it["event"] == "trial_started"]


def test_a_file_that_differs_from_the_trials_is_a_warning(
    done: tuple[Found, list[Event], Path],
) -> None:
    """It names the file and the trial; the same bytes are no warning."""
    found, _, _ = done
    same = made({}).model_copy(update={"sha256": found.chosen.sha256})
    assert differs(same, found.chosen) == []
    (text,) = differs(same.model_copy(update={"sha256": "other"}), found.chosen)
    assert "x.tflite" in text
    assert f"trial {found.chosen.number}" in text


def test_rows_are_held_out_where_the_manifest_does_not_say(folder: Path) -> None:
    """A tenth; not where nothing is trained, and not for a job without a search."""
    plain = {"epochs": 2}
    assert job_of(folder, training=plain).training.validation_split == 0.1
    assert job_of(folder).training.validation_split == 0.3
    assert job_of(folder, training={"objective": "none"}).training.validation_split is None
    without = job_of(folder, training=plain, search=None)
    assert with_held_out_rows(without) == without
