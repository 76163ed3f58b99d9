"""What each layer alone can lose: by ``inspect --dataset``, and in a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from job.result.inspected import InspectResult
from job.result.result import Result
from tests.conftest import ROOT, MakeManifest, Run, paredown

QUICKSTART = ROOT / "manifests" / "quickstart"
MODEL = QUICKSTART / "mnist_baseline.h5"
BY = ("--no-variants", "--dataset", QUICKSTART / "quickstart.json")


@pytest.fixture(scope="module")
def seen() -> Run:
    run = paredown("inspect", MODEL, *BY, "--json")
    assert run.code == 0, run.err
    return run


def test_the_quickstarts_small_convolution_is_the_sensitive_layer(seen: Run) -> None:
    """On held-out rows: 108 of 20,388 weights, and at 80 % zeros they cost most."""
    found = InspectResult.model_validate_json(seen.out).sensitivity
    assert found is not None
    assert (found.split, found.rows, found.metric) == ("validation", 1000, "accuracy")
    conv, dense = found.layers
    assert (conv.name, conv.weights, dense.name, dense.weights) == ("conv2d", 108, "dense", 20280)
    lost = [{it.sparsity: it.drop or 0 for it in layer.sparsities}[0.8] for layer in (conv, dense)]
    assert lost[0] > 5 * lost[1] > 0
    assert abs(dense.weight_bits[0].drop or 0) < 0.005  # 8 bits


def test_a_person_sees_a_table_and_bars(seen: Run) -> None:
    """A line for each layer, and one for each value."""
    run = paredown("inspect", MODEL, *BY)
    assert run.code == 0
    lines = run.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("sensitivity"))
    assert lines[start + 1].split()[:3] == ["layer", "weights", "share"]
    assert [it.split()[:2] for it in lines[start + 2 : start + 4]] == [
        ["conv2d", "108"],
        ["dense", "20,280"],
    ]
    found = InspectResult.model_validate_json(seen.out).sensitivity
    assert found is not None
    bars = [line for line in lines if "sparsity 0." in line and " within" not in line]
    assert len(bars) == 12
    assert max(line.count("#") for line in bars) == 40


def test_without_a_data_set_nothing_is_measured(manifest: MakeManifest) -> None:
    """The field is null; a batch, or a file that is no manifest, has no data set to name."""
    plain = paredown("inspect", MODEL, "--no-variants", "--json")
    assert json.loads(plain.out)["sensitivity"] is None
    batch = paredown("inspect", MODEL, "--dataset", ROOT / "manifests/examples/batch.json")
    assert batch.code == 2
    assert "this is a batch" in batch.err
    nowhere = paredown("inspect", MODEL, "--dataset", "nowhere.json")
    assert nowhere.code == 2
    other = manifest(dataset={"type": "npz", "uri": "nowhere.npz"})
    missing = paredown("inspect", MODEL, "--dataset", other)
    assert missing.code == 3
    assert "nowhere.npz" in missing.err


def test_data_of_another_model_are_refused(manifest: MakeManifest) -> None:
    """The tiny model's pictures have other sizes."""
    run = paredown("inspect", MODEL, "--no-variants", "--dataset", manifest())
    assert run.code == 3
    assert "28" in run.err


def test_a_run_has_it_in_its_result_and_in_its_log(manifest: MakeManifest, tmp_path: Path) -> None:
    """As a stage of its own, after the baseline and before pruning; the manifest sets values."""
    asked = manifest(sensitivity={"sparsities": [0.5], "weight_bits": [4], "rows": 30})
    run = paredown("run", asked, "--log", "json")
    assert run.code == 0, run.err
    result = Result.model_validate_json((tmp_path / "out" / "result.json").read_text())
    assert result.sensitivity is not None
    assert result.sensitivity.rows <= 30
    assert [it.name for it in result.sensitivity.layers] == ["conv", "dense"]
    stages = [it.name for it in result.stages]
    assert stages.index("baseline") + 1 == stages.index("sensitivity") < stages.index("prune")
    decisions = result.stages[stages.index("sensitivity")].decisions
    assert any(it.startswith("conv alone, within 0.01") for it in decisions)
