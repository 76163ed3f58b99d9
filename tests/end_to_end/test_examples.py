"""The quickstart does what its manifest promises, offline and from any folder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Run, paredown
from tests.support.published import read_result

QUICKSTART = ROOT / "manifests" / "quickstart"
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.json"))
# The ways of training without labels or data, in the order of the docs.
WAYS = {
    it: ROOT / "manifests" / "examples" / f"{it}.json"
    for it in ("distill", "unlabelled", "no_data")
}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The quickstart, copied and run from another folder; and where it has published."""
    folder = tmp_path_factory.mktemp("quickstart") / "copy"
    shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("out"))
    return paredown("run", folder / "quickstart.json"), folder / "out"


def test_the_quickstart_keeps_its_promises(quickstart: tuple[Run, Path]) -> None:
    """At least eight times smaller, at most one point of accuracy."""
    run, out = quickstart
    assert (run.code, run.err) == (0, "")
    result = read_result(out)
    assert result["status"] == "succeeded"
    chosen = result["chosen"]["artifact"]
    verdicts = [it["passed"] for it in result["gates"] if it["artifact"] == chosen]
    assert verdicts == [True, True]
    assert (out / result["chosen"]["path"]).stat().st_size == result["chosen"]["bytes"]
    baseline, *_, smallest = sorted(result["artifacts"], key=lambda it: -it["bytes"])
    encoded = min(it["bytes"] for it in smallest["encoded"].values())
    assert (out / "baseline.h5").stat().st_size >= 8 * encoded
    assert baseline["metrics"]["accuracy"] - smallest["metrics"]["accuracy"] <= 0.01


def test_the_quickstarts_result_is_of_the_files_that_are_shipped(
    quickstart: tuple[Run, Path],
) -> None:
    """Their digests are in the result, and the data are real digits."""
    result = read_result(quickstart[1])
    for name, file in (("model", "mnist_baseline.h5"), ("dataset", "mnist.npz")):
        digest = hashlib.sha256((QUICKSTART / file).read_bytes()).hexdigest()
        assert result["inputs"][name]["sha256"] == digest
    digits = np.load(QUICKSTART / "mnist.npz")
    assert digits["x_test"].shape[1:] == (28, 28)
    assert set(np.unique(digits["y_test"])) == set(range(10))


def test_the_readmes_example_is_the_quickstart() -> None:
    """So that it keeps its gates, with the model and the data that are shipped."""
    readme = (ROOT / "README.md").read_text()
    (text,) = _blocks(readme, '"kind": "job"')
    example, shipped = json.loads(text), json.loads((QUICKSTART / "quickstart.json").read_text())
    for name in ("name", "destination"):
        del example[name], shipped[name]
    assert example == shipped


def test_the_batch_in_the_docs_is_an_example() -> None:
    """So that it is valid."""
    (text,) = _blocks((ROOT / "docs" / "batches.md").read_text(), '"kind": "batch"')
    shipped = (ROOT / "manifests" / "examples" / "fleet.json").read_text()
    assert json.loads(text) == json.loads(shipped)


def test_the_jobs_without_labels_in_the_docs_are_examples() -> None:
    """So that the tables under them are those that a user gets."""
    page = (ROOT / "docs" / "without-labels.md").read_text()
    shown = [json.loads(it) for it in _blocks(page, '"kind": "job"')]
    assert shown == [json.loads(WAYS[way].read_text()) for way in WAYS]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The examples of the three ways, run as they are shipped; their results."""
    results = {}
    for way, manifest in WAYS.items():
        out = tmp_path_factory.mktemp(way)
        run = paredown("run", manifest, "--output", out / "out")
        assert run.code == 0, run.err
        results[way] = read_result(out / "out")
    return results


def test_the_examples_of_each_way_run(ways: dict[str, dict[str, Any]]) -> None:
    """Distilling with labels, on inputs alone, and without data; each says which and why."""
    objectives = {way: it["trained_for"]["objective"] for way, it in ways.items()}
    assert objectives == {"distill": "distill", "unlabelled": "distill", "no_data": "none"}
    assert {way: it["status"] for way, it in ways.items()} == dict.fromkeys(ways, "succeeded")
    assert ways["distill"]["artifacts"][1]["metrics"]["accuracy"] > 0.93
    for way in ("unlabelled", "no_data"):
        (close,) = ways[way]["artifacts"][1]["fidelity"].values()
        assert ways[way]["artifacts"][1]["metrics"] == {}
        assert close["agreement"] > 0.85
        assert close["synthetic"] is (way == "no_data")
    sources = {name: it["source"] for name, it in ways["unlabelled"]["splits"].items()}
    assert sources == {"train": "arrays", "validation": "held out", "test": "held out"}


# The search has five trials here, and eight where it is shipped, which take two minutes.
SMALL: dict[str, tuple[str, ...]] = {
    "smallest": ("--set", "search.budget.trials=5"),
    "low_bits": (),
    "clustered": (),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The examples of small files, run; their results."""
    results = {}
    for name, options in SMALL.items():
        out = tmp_path_factory.mktemp(name)
        path = ROOT / "manifests" / "examples" / f"{name}.json"
        run = paredown("run", path, "--output", out, *options)
        assert run.code == 0, run.err
        results[name] = read_result(out)
    return results


def test_a_search_finds_a_smaller_file_than_the_quickstarts(
    small: dict[str, dict[str, Any]], quickstart: tuple[Run, Path]
) -> None:
    """At half its bytes, and within the loss on held-out rows and on test rows."""
    result = small["smallest"]
    found = result["search"]
    chosen = found["trials"][found["chosen"] - 1]
    assert chosen["passed"]
    assert result["chosen"]["artifact"] == "dynamic_range"
    assert result["chosen"]["bytes"] == chosen["bytes"]
    assert 2 * chosen["bytes"] < read_result(quickstart[1])["chosen"]["bytes"]
    made = next(it for it in result["artifacts"] if it["variant"] == "dynamic_range")
    assert made["sha256"] == chosen["sha256"]


def test_low_bits_and_clusters_are_in_the_files(small: dict[str, dict[str, Any]]) -> None:
    """As many values as were asked for, and nearly the baseline's accuracy."""
    by_name = {it["variant"]: it for it in small["low_bits"]["artifacts"]}
    for name, most in (("int4", [15, 15]), ("ternary", [15, 3])):
        found = by_name[name]["packed"]["kernels"]
        assert [it["distinct"] <= limit for it, limit in zip(found, most, strict=True)] == [
            True
        ] * 2
        # Of the widths that the values fit in, the one whose file is smallest, once encoded.
        assert all(2 ** it["bits"] > it["distinct"] for it in found)
        assert min(it["bits"] for it in found) < 8
        assert by_name[name]["metrics"]["accuracy"] > 0.92
    clustered = small["clustered"]
    assert [it["number_of_clusters"] for it in clustered["clusters"]] == [32, 16]
    assert all(it["distinct_values"] <= it["number_of_clusters"] for it in clustered["clusters"])
    made = clustered["artifacts"][-1]
    assert made["runtime"] == "tflite-2.14"
    convolution, dense = (it["distinct"] for it in made["packed"]["kernels"])
    assert convolution <= 32
    assert dense <= 16
    assert made["metrics"]["accuracy"] > 0.91


def _blocks(page: str, what: str) -> list[str]:
    return [it for it in re.findall(r"```json\n(.*?)```", page, re.DOTALL) if what in it]


def test_all_examples_are_valid() -> None:
    """As a user would check them, all in one command."""
    assert EXAMPLES
    valid = paredown("validate", *EXAMPLES)
    assert (valid.code, valid.err) == (0, "")
    assert valid.out.splitlines() == [f"{path}: valid" for path in EXAMPLES]


def test_no_example_names_a_folder_of_ours() -> None:
    """What is shipped runs elsewhere too."""
    for path in [*EXAMPLES, QUICKSTART / "quickstart.json"]:
        assert "/work/" not in path.read_text()
        assert "/root/" not in path.read_text()
