"""Patterns of zeros, stages that are skipped, and gates; judged by what is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.conftest import paredown
from tests.support.published import PAGES, Published, publish_all

JOBS: dict[str, dict[str, Any]] = {
    "block": {"prune": {"structure": {"type": "block", "block_size": [4, 2]}}},
    "m_by_n": {"prune": {"structure": {"type": "m_by_n"}}},
    "plain": {"prune": None, "compress": None, "quantize": [{"type": "float32"}]},
    "gated": {
        "quantize": None,
        "compress": {"codecs": [{"type": "zip", "level": 1}, {"type": "brotli", "max_bytes": 9}]},
        "training": {"epochs": 1, "batch_size": 32, "validation_split": 0},
        "gates": [
            {"type": "min_ratio", "value": 1000},
            {"type": "max_drop", "metric": "accuracy", "value": 1},
            {"type": "min_value", "metric": "sparse_top_k_categorical_accuracy", "value": 0.5},
            {"type": "max_bytes", "value": 5, "of": "file", "artifact": "prune"},
        ],
    },
}


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    """All jobs, run."""
    return publish_all(JOBS, tiny, tmp_path_factory.mktemp("structures"))


def kernel(published: Published, layer: str) -> np.ndarray:
    """A layer's kernel in the pruned model that was published."""
    model = tf_keras.models.load_model(published.folder / "prune.h5", compile=False)
    return np.asarray(model.get_layer(layer).get_weights()[0])


def test_every_job_succeeds_but_the_one_whose_gate_is_missed(
    published: dict[str, Published],
) -> None:
    """And says nothing on standard error."""
    codes = {name: it.run.code for name, it in published.items()}
    assert codes == {"block": 0, "m_by_n": 0, "plain": 0, "gated": 5}
    assert {it.run.err for it in published.values()} == {""}


def test_unstructured_zeros_are_as_many_as_asked(published: dict[str, Published]) -> None:
    """In every layer, and the result says how many there are."""
    for layer in published["gated"].result["layers"]:
        zeros = np.mean(kernel(published["gated"], layer["name"]) == 0)
        assert zeros == pytest.approx(0.8, abs=0.02)
        assert layer["achieved_sparsity"] == pytest.approx(zeros)
        assert (layer["pruned"], layer["target_sparsity"]) == (True, 0.8)


def test_blocks_are_zero_as_a_whole(published: dict[str, Published]) -> None:
    """Four rows, two columns; the convolution, whose kernel has four dimensions, says why not."""
    blocks = kernel(published["block"], "dense").reshape(72, 4, 2, 2)
    zeros = (blocks == 0).sum(axis=(1, 3))
    assert set(np.unique(zeros)) == {0, 8}
    assert np.mean(zeros == 8) == pytest.approx(0.8, abs=0.02)
    conv, _ = published["block"].result["layers"]
    assert (conv["name"], conv["pruned"], conv["achieved_sparsity"]) == ("conv", False, 0)
    assert "two dimensions" in conv["reason"]


def test_two_of_four_are_zero_along_the_input_axis(published: dict[str, Published]) -> None:
    """In each column, each four weights that follow each other."""
    groups = kernel(published["m_by_n"], "dense").reshape(72, 4, 4)
    assert ((groups == 0).sum(axis=1) >= 2).all()
    conv, dense = published["m_by_n"].result["layers"]
    assert not conv["pruned"]
    assert "divides" in conv["reason"]
    assert dense["achieved_sparsity"] == pytest.approx(0.5, abs=0.01)


def test_without_pruning_and_compressing_the_model_is_only_converted(
    published: dict[str, Published], tiny: Path
) -> None:
    """The stages are said to be skipped, and nothing else is there."""
    it = published["plain"]
    names = {"baseline.h5", "float32.tflite", "manifest.json", "result.json", *PAGES}
    assert {path.name for path in it.folder.iterdir()} == names
    baseline, converted = it.result["artifacts"]
    assert (baseline["encoded"], converted["encoded"]) == ({}, {})
    assert converted["metrics"] == pytest.approx(baseline["metrics"], abs=1e-5)
    assert converted["sparsity"] < 0.01
    assert it.folder.joinpath("baseline.h5").read_bytes() == (tiny / "model.h5").read_bytes()
    skipped = [event["stage"] for event in it.run.events if event["event"] == "stage_skipped"]
    assert "prune" in skipped


def test_a_missed_gate_still_publishes(published: dict[str, Published]) -> None:
    """The figures that gates are judged by are there; a metric that only a gate names is too."""
    it = published["gated"]
    assert it.result["status"] == "gate_missed"
    assert [gate["passed"] for gate in it.result["gates"]] == [False, True, True, False]
    assert [gate["artifact"] for gate in it.result["gates"]] == ["prune"] * 4
    pruned = (it.folder / "prune.h5").stat().st_size
    smallest = (it.folder / "prune.h5.zip").stat().st_size
    baseline = (it.folder / "baseline.h5").stat().st_size
    adam = it.artifact("baseline")["optimizer_bytes"]
    assert adam == 2 * 4 * 1236 + 8  # two moments of each weight in float32, and a step
    assert it.result["gates"][0]["value"] == pytest.approx((baseline - adam) / smallest)
    assert it.result["gates"][3]["value"] == pruned
    assert it.artifact("prune")["metrics"]["sparse_top_k_categorical_accuracy"] == 1
    assert it.run.events[-1]["status"] == "gate_missed"


def test_a_missed_gate_is_missed_again_when_the_job_is_done_already(
    published: dict[str, Published],
) -> None:
    """A pipeline that asks twice is told the same."""
    again = paredown("run", published["gated"].manifest)
    assert (again.code, again.events[-1]["already_done"]) == (5, True)


def test_a_file_that_is_larger_than_max_bytes_is_not_encoded(
    published: dict[str, Published],
) -> None:
    """And the result says so."""
    it = published["gated"]
    assert set(it.artifact("prune")["encoded"]) == {"zip"}
    decisions = [text for stage in it.result["stages"] for text in stage["decisions"]]
    assert any("prune.h5: brotli is left out" in text for text in decisions)
