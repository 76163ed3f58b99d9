"""Whole runs with a search: a batch of them, a choice made again by hand, a loss nothing meets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.conftest import Run, paredown
from tests.support import heads, unlabelled
from tests.support.rare import EVERY, rare

BUDGET = {"minutes": 500, "trials": 2}
TRAINING = {"epochs": 1, "batch_size": 32}


def jobs(tiny: Path) -> dict[str, dict[str, Any]]:
    """What is searched: the first ones always, the others by ``make test-all``."""
    labelled = {
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {
            "type": "npz",
            "uri": str(tiny / "data.npz"),
            "scale": 1 / 255,
            "split": {"validation": 0.2, "seed": 3},
        },
        "training": {"epochs": 3, "batch_size": 16},
        "compress": {"codecs": ["zip"]},
        "search": {
            "max_drop": 0.02,
            "budget": {"minutes": 500, "trials": 3},
            "over": {"weight_bits": [8], "clusters": [16], "sparsity": [0.3, 0.9]},
        },
    }
    common = {"training": TRAINING, "compress": {"codecs": ["zip"]}}

    def other(model: str, **search: Any) -> dict[str, Any]:
        found = unlabelled.job(model, **common, search={"budget": BUDGET} | search)
        found["model"]["uri"] = found["model"]["uri"].removeprefix("../")
        found["dataset"]["uri"] = found["dataset"]["uri"].removeprefix("../")
        del found["quantize"]
        return found

    found = {
        "labelled": labelled,
        # Keras 3, numbers, two inputs.
        "ratio": other("force", min_snr_db=5, over={"weight_bits": [8, 4]}),
        "nothing": other("image", max_drop=0.0) | {
            "dataset": None, "training": {}, "search": {"budget": BUDGET, "min_agreement": 0.2},
        },
    }  # fmt: skip
    if EVERY:
        two = heads.job("list.h5", ["picture", "hint"], ["side", "angle"])
        two["model"]["uri"], two["dataset"]["uri"] = "models/list.h5", "data.npz"
        found |= {
            "agreement": other("image", min_agreement=0.5),
            "recurrent": other("words", over={"weight_bits": [8, 2]}),
            "outputs": two | common | {"search": {"budget": BUDGET, "max_drop": 0.3}},
        }
    return found


@pytest.fixture(scope="module")
def batch(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each: they are done in batches with one worker, three jobs in each."""
    folder = tmp_path_factory.mktemp("searches")
    unlabelled.save_all(folder)
    if EVERY:
        heads.save_all(folder)
    every = list(jobs(tiny).items())
    folders: dict[str, Path] = {}
    for number, some in enumerate((every[:3], every[3:])):
        manifest = {
            "kind": "batch",
            "name": "searches",
            "jobs": [{"name": name} | it for name, it in some],
            "workers": 1,
            "destination": {"uri": f"out-{number}"},
        }
        if some:
            (folder / "batch.json").write_text(json.dumps(manifest))
            run = paredown("run", folder / "batch.json")
            assert run.code in (0, 5), run.out + run.err
        folders |= {name: folder / f"out-{number}" / name for name, _ in some}
    return folders


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_each_has_the_file_of_its_chosen_trial(batch: dict[str, Path], tiny: Path) -> None:
    """What is published is what was judged; nothing is taken from an earlier run."""
    for name in jobs(tiny):
        found = result_of(batch[name])
        search = found["search"]
        chosen = search["trials"][search["chosen"] - 1]
        made = found["artifacts"][-1]
        assert made["sha256"] == chosen["sha256"], name
        content = (batch[name] / made["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == chosen["sha256"]
        Interpreter(model_content=content).allocate_tensors()
        assert made["packed"] is not None
        sizes = [made["bytes"], *(it["bytes"] for it in made["encoded"].values())]
        assert chosen["bytes"] == min(sizes)
        assert 1 <= len(search["trials"]) <= 3
        assert found["resumed"] == []
        assert not [it for it in found["warnings"] if "not deterministic" in it]
        gate = next(it for it in found["gates"] if it["gate"].get("artifact") == made["variant"])
        assert gate["gate"]["type"] == search["gate"]["type"]
        assert (found["status"] == "gate_missed") == any(not it["passed"] for it in found["gates"])


def test_how_trials_are_judged_follows_from_the_data(batch: dict[str, Path], tiny: Path) -> None:
    """Labels, none, numbers, random inputs: on rows that are held out, where any are; as many as
    ``dataset.split`` says, or a tenth.
    """
    found = {name: result_of(batch[name])["search"] for name in jobs(tiny)}
    kinds = {name: it["gate"]["type"] for name, it in found.items()}
    assert kinds["labelled"] == "max_drop"
    assert found["labelled"]["rows"] == 80
    assert kinds["ratio"] == "min_snr_db"
    assert found["ratio"]["rows"] == 30
    assert kinds["nothing"] == "min_agreement"
    if EVERY:
        assert (kinds["agreement"], kinds["recurrent"]) == ("min_agreement", "min_agreement")
        assert kinds["outputs"] == "max_drop"
        (text,) = [it for it in result_of(batch["outputs"])["warnings"] if "does not look at" in it]
        assert "angle" in text


def test_clusters_that_were_chosen_are_published(batch: dict[str, Path]) -> None:
    """The clustered model is a file of the result, as without a search."""
    found = result_of(batch["labelled"])
    assert {it["settings"]["clusters"] for it in found["search"]["trials"]} == {16}
    assert [it["stage"] for it in found["artifacts"]] == [
        "baseline",
        "prune",
        "cluster",
        "quantize",
    ]
    assert (batch["labelled"] / "cluster.h5").exists()
    assert all(it["distinct_values"] <= 16 for it in found["clusters"] if it["clustered"])


def test_without_data_nothing_is_trained(batch: dict[str, Path]) -> None:
    """No width of 2 bits is tried, no epoch made, and no teacher."""
    found = result_of(batch["nothing"])
    trials = found["search"]["trials"]
    assert {it["settings"]["epochs"] for it in trials} == {0}
    assert all(it["settings"]["weight_bits"] > 2 for it in trials)
    assert found["trainings"] == {}
    assert found["splits"]["test"]["source"] == "synthetic"


def test_the_sections_of_a_search_make_the_same_files(
    batch: dict[str, Path], tiny: Path, tmp_path: Path
) -> None:
    """By an ordinary job, byte for byte."""
    before = result_of(batch["labelled"])
    manifest = before["manifest"] | before["search"]["sections"] | {
        "search": None, "destination": {"uri": "out"},
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    run = paredown("run", tmp_path / "manifest.json")
    assert run.code == 0, run.err
    after = result_of(tmp_path / "out")
    assert after["search"] is None
    digests = [{it["path"]: it["sha256"] for it in one["artifacts"]} for one in (before, after)]
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def missed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A loss that no file is within: better than the baseline, with certainty."""
    folder = tmp_path_factory.mktemp("missed")
    manifest = {
        "name": "missed",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": TRAINING,
        "compress": None,
        "search": {
            "max_drop": 0,
            "metric": "loss",
            "budget": {"minutes": 500, "trials": 2},
            "over": {"weight_bits": [4], "sparsity": [0.9, 0.98]},
        },
        "destination": {"uri": "out"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return paredown("run", folder / "manifest.json"), folder / "out"


def test_a_loss_that_nothing_meets_publishes_the_nearest(missed: tuple[Run, Path]) -> None:
    """Status gate_missed, exit code 5, and a warning that says what to do."""
    run, out = missed
    assert run.code == 5, run.err
    found = result_of(out)
    assert found["status"] == "gate_missed"
    search = found["search"]
    trials = search["trials"]
    assert not any(it["passed"] for it in trials)
    nearest = max(trials, key=lambda it: it["margin"])
    assert search["chosen"] == nearest["number"]
    assert found["artifacts"][-1]["sha256"] == nearest["sha256"]
    (text,) = [it for it in found["warnings"] if "No trial is within the loss" in it]
    assert f"trial {nearest['number']}" in text
    assert "none passes; it is the nearest" in search["reason"]


def test_a_search_reports_its_trials(missed: tuple[Run, Path]) -> None:
    """An event for each, with what is tried; the stage's progress counts them."""
    run, _ = missed
    begun = [it for it in run.events if it["event"] == "trial_started"]
    assert [(it["trial"], it["of"]) for it in begun] == [(1, 2), (2, 2)]
    assert begun[0]["what"].startswith("trial 1 of at most 2: 95 % zeros, 4 bits")
    done = [it for it in run.events if it["event"] == "progress" and it["stage"] == "search"]
    assert (done[-1]["done"], done[-1]["total"]) == (2, 2)


@rare
def test_a_budget_that_is_too_small_is_refused(tiny: Path, tmp_path: Path) -> None:
    """With the time that a trial takes; nothing is published."""
    manifest = {
        "name": "short",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "search": {"budget": {"minutes": 0.001}},
        "destination": {"uri": "out"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    run = paredown("run", tmp_path / "manifest.json")
    assert run.code == 3
    assert "longer than all trials may take (0.001)" in run.error["what"]
    assert not (tmp_path / "out" / "result.json").exists()


@rare
def test_a_budget_that_ends_early_gives_the_best_so_far(tiny: Path, tmp_path: Path) -> None:
    """The time is over after some of the trials; the result says so."""
    manifest = {
        "name": "early",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 40, "batch_size": 4},
        "search": {"budget": {"minutes": 0.5}},
        "destination": {"uri": "out"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    run = paredown("run", tmp_path / "manifest.json")
    assert run.code in (0, 5), run.err
    search = result_of(tmp_path / "out")["search"]
    assert "minutes of 0.5, and another one would take" in search["ended"]
    assert 1 <= len(search["trials"]) < 40
