"""A job with blockwise scales publishes a file that is what its result says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.tflite.interpret import predictor
from tests.conftest import MakeManifest, paredown
from tests.support.published import Published, publish_all

OPTIONS = {"type": "dynamic_range", "weight_bits": 4, "slim": True, "batch_size": 1}
QUANTIZE: list[dict[str, Any]] = [
    {**OPTIONS, "name": "blocks", "blockwise": 32, "epochs": 1},
    {**OPTIONS, "name": "none", "blockwise": 128, "aware": False},
]


@pytest.fixture(scope="module")
def job(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    jobs = {"blocks": {"quantize": QUANTIZE, "training": {"epochs": 1}}}
    return publish_all(jobs, tiny, tmp_path_factory.mktemp("blocks"))["blocks"]


def test_trained_blocks_are_written_without_a_loss(job: Published, tiny: Path) -> None:
    """Nine for each of four outputs; both kinds of kernels have the accuracy that is claimed."""
    artifact = job.artifact("blocks")
    packed = artifact["packed"]
    conv, dense = packed["kernels"]
    assert (dense["block_size"], dense["scales"], dense["is_lossless"]) == (32, 36, True)
    assert (conv["block_size"], conv["is_lossless"]) == (None, True)
    assert conv["reason"].endswith("no blocks: CONV_2D has no kernel that takes them")
    assert list(packed["opened_by"]) == ["xnnpack", "builtin"]
    assert artifact["runtime"] == "litert-2.1"
    with np.load(tiny / "data.npz") as data:
        x, y = data["x_test"].astype(np.float32) / 255, data["y_test"]
    for resolver, tolerance in (("xnnpack", 1e-9), ("builtin", 0.03)):
        (answer,) = predictor(job.folder / artifact["path"], ["a"], ["b"], 1, resolver)([x])
        accuracy = np.mean(answer.argmax(axis=1) == y)
        assert accuracy == pytest.approx(artifact["metrics"]["accuracy"], abs=tolerance)


def test_blocks_that_fit_no_layer_are_said(job: Published) -> None:
    """In the result, with the layer and the reason; the file is made with other scales."""
    packed = job.artifact("none")["packed"]
    assert [it["block_size"] for it in packed["kernels"]] == [None, None]
    said = "dense has no scales for blocks of 128: its rows have 288 weights, which is no multiple"
    assert any(it.startswith(said) for it in packed["notes"])
    assert packed["notes"][-1].startswith("no kernel has scales for blocks of 128")


def test_blocks_of_eight_bits_are_refused(manifest: MakeManifest) -> None:
    """Before anything is read, with the path in the manifest."""
    path = manifest(quantize=[{"type": "dynamic_range", "blockwise": 32}])
    run = paredown("run", path)
    assert run.code == 2
    assert "quantize.0.blockwise" in str(run.error)
