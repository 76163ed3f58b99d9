"""A search that is killed goes on where it was: to the same choice, and the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job.events import Event
from tests.support.manifests import read_job
from tests.support.rare import EVERY
from tests.support.resuming import Ran, begins, keeps, kill, run

TRIALS = 3


@pytest.fixture(scope="module")
def manifest(tiny: Path) -> dict[str, Any]:
    """A search that only the number of its trials ends: time would not be the same twice."""
    asked = {
        "name": "tiny",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 2, "batch_size": 16},
        "compress": None,
        "search": {
            "max_drop": 0.02,
            "budget": {"minutes": 500, "trials": TRIALS},
            "over": {"weight_bits": [8], "clusters": [8]},
        },
        "destination": {"uri": "out"},
    }
    return read_job(json.dumps(asked), "here.json").model_dump(mode="json")


@pytest.fixture(scope="module")
def undisturbed(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(manifest, tmp_path_factory.mktemp("undisturbed"))


def tries(number: int) -> Callable[[Event], bool]:
    """In the middle of a trial."""
    return lambda event: event["event"] == "trial_started" and event["trial"] == number


# A chain of runs, each of which goes on with what the one before has left.
USUAL = [tries(2), begins("cluster")]
KILLED_AT = [
    begins("plan search"),
    keeps("trial budget"),
    keeps("training teacher"),
    keeps("trained teacher"),
    tries(1),
    keeps("trial 1"),
    tries(2),
    tries(3),
    keeps("trial 3"),
    keeps("training"),
    begins("cluster"),
    begins("train dynamic_range"),
    keeps("quantize dynamic_range"),
]


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """The record of a search, but for how long it took."""
    timed = ("seconds", "trained_s")
    trials = [
        {name: it for name, it in trial.items() if name not in timed}
        for trial in result["search"]["trials"]
    ]
    search: dict[str, Any] = result["search"] | {"trials": trials}
    return search


def test_a_killed_search_goes_on_to_the_same_choice(
    manifest: dict[str, Any], undisturbed: Ran, tmp_path: Path
) -> None:
    """No trial that was made is made again; the last run writes the files of one that was never
    disturbed.
    """
    assert undisturbed.error is None
    kept: Path | None = None
    tried: list[int] = []
    for number, moment in enumerate(KILLED_AT if EVERY else USUAL):
        ran = run(manifest, tmp_path / f"{number}", kept=kept, disturb=moment, by=kill,
                  save_every_s=0.2)  # fmt: skip
        assert ran.error is not None
        kept = ran.kept
        tried += [it["trial"] for it in ran.events if it["event"] == "trial_started"]
    last = run(manifest, tmp_path / "last", kept=kept)
    assert last.error is None
    assert [name for name, it in last.files.items() if it != undisturbed.files[name]] == []
    assert last.files.keys() == undisturbed.files.keys()
    assert without_times(last.result) == without_times(undisturbed.result)
    # The child is started once more where it dies: a trial that was killed begins again.
    assert set(tried) == set(range(1, TRIALS + 1))
    assert {f"trial {it + 1}" for it in range(TRIALS)} <= set(last.result["resumed"])
    assert "trained teacher" in last.result["resumed"]
    assert not [it for it in last.warnings() if "made again" in it]
