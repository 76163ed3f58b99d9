"""Each training of small weights goes on where it was killed, and ends with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests import read_job
from tests.support.rare import few
from tests.support.resuming import Ran, begins, keeps, kill, run


@pytest.fixture(scope="module")
def manifest(tiny: Path) -> dict[str, Any]:
    """A job with a training of each kind."""
    asked = {
        "name": "tiny",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 4, "batch_size": 4, "teacher": {"epochs": 4}},
        "prune": {"allocation": "global"},
        "cluster": {"number_of_clusters": 8},
        "quantize": [{"type": "dynamic_range", "weight_bits": 2}, {"type": "float16"}],
        "compress": None,
        "destination": {"uri": "out"},
    }
    return read_job(json.dumps(asked), "here.json").model_dump(mode="json")


@pytest.fixture(scope="module")
def undisturbed(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(manifest, tmp_path_factory.mktemp("undisturbed"))


# A chain of runs, each of which goes on with what the one before has left.
KILLED_AT = [
    keeps("training teacher"),
    begins("prune"),
    keeps("training"),
    begins("cluster"),
    keeps("training cluster"),
    keeps("training for dynamic_range"),
    begins("quantize"),
]


@pytest.mark.parametrize("moments", few([KILLED_AT[::2], KILLED_AT]))
def test_every_training_goes_on(
    manifest: dict[str, Any], undisturbed: Ran, tmp_path: Path, moments: list[Any]
) -> None:
    """The last of the runs writes the files of one that was never disturbed."""
    kept: Path | None = None
    for number, moment in enumerate(moments):
        ran = run(manifest, tmp_path / f"{number}", kept=kept, disturb=moment, by=kill,
                  save_every_s=0.2)  # fmt: skip
        assert ran.error is not None
        kept = ran.kept
    last = run(manifest, tmp_path / "last", kept=kept)
    assert last.error is None
    assert last.files.keys() == undisturbed.files.keys()
    assert [name for name, it in last.files.items() if it != undisturbed.files[name]] == []
    again, once = last.result["trainings"], undisturbed.result["trainings"]
    assert again == once
    assert {"trained teacher", "prune", "cluster", "aware dynamic_range"} <= set(
        last.result["resumed"]
    )
    assert not [it for it in last.warnings() if "made again" in it]
