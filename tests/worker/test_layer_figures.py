"""What the result says of layers' weights is what stands in the published files."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray
from PIL import Image

from job.models.layers import layers_of
from job.result.artifact import LayerResult
from job.worker.layer_figures import PICTURES, BaselineKernels, weights_of, with_pictures
from tests.conftest import paredown

CASES: dict[str, dict[str, Any]] = {
    "pruned": {"prune": {"schedule": {"type": "polynomial_decay", "final_sparsity": 0.75},
                         "layers": [{"name": "conv", "skip": True}]}},
    "clustered": {"cluster": {"number_of_clusters": 8, "min_weights": 1},
                  "report": {"kernels": False}},
    "only-clustered": {"prune": None, "cluster": {"number_of_clusters": 8}, "report": None},
    "neither": {"prune": None, "quantize": [{"type": "float16"}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each case."""
    found = {}
    for name, sections in CASES.items():
        folder = tmp_path_factory.mktemp("figures")
        document = {
            "schema_version": 1,
            "kind": "job",
            "name": name,
            "model": {"uri": str(tiny / "model.h5")},
            "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
            "training": {"epochs": 2, "batch_size": 32},
            "compress": {"codecs": ["zip"]},
            "quantize": None,
            "destination": {"uri": "out"},
        } | sections
        path = folder / "manifest.json"
        path.write_text(json.dumps(document))
        done = paredown("run", path)
        assert done.code == 0, done.err
        found[name] = folder / "out"
    return found


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def kernels_in(path: Path) -> dict[str, NDArray[np.float32]]:
    """By layer."""
    with h5py.File(path) as file:
        weights = file["model_weights"]
        return {it: weights[f"{it}/{it}/kernel:0"][()] for it in ("conv", "dense")}


def check(weights: dict[str, Any], before: NDArray[Any], after: NDArray[Any]) -> None:
    """Compare histograms with NumPy's."""
    low, high = weights["low"], weights["high"]
    assert high == -low == max(np.abs(before).max(), np.abs(after).max())
    for of, kernel in (("before", before), ("after", after)):
        counts, zeros = weights[of]["counts"], weights[of]["zeros"]
        assert zeros == (kernel == 0).sum()
        assert sum(counts) + zeros == kernel.size
        edges = np.linspace(low, high, 41)
        inside = kernel[kernel != 0].astype(np.float64)
        assert counts == np.histogram(inside, edges)[0].tolist()


@pytest.mark.parametrize("name", ["pruned", "clustered", "only-clustered"])
def test_histograms_are_those_of_the_published_files(published: dict[str, Path], name: str) -> None:
    """Of the baseline, and of the last Keras model that was made."""
    folder = published[name]
    before = kernels_in(folder / "baseline.h5")
    after = kernels_in(folder / ("prune.h5" if name == "pruned" else "cluster.h5"))
    layers = result_of(folder)["layers"]
    assert [it["name"] for it in layers] == ["conv", "dense"]
    for layer in layers:
        kernel = after[layer["name"]]
        assert layer["kernel_shape"] == list(kernel.shape)
        if name == "pruned" and layer["name"] == "conv":
            assert layer["weights"] is None
        else:
            check(layer["weights"], before[layer["name"]], kernel)


def test_pictures_are_of_the_published_kernels(published: dict[str, Path]) -> None:
    """Zeros black, in both pictures; a result without them has histograms alone."""
    folder = published["pruned"]
    (image,) = result_of(folder)["layers"][1]["weights"]["images"]
    for of in ("before", "after"):
        stage = {"before": "baseline", "after": "prune"}[of]
        kernel = kernels_in(folder / f"{stage}.h5")["dense"]
        picture = Image.open(io.BytesIO(base64.b64decode(image[of])))
        assert picture.size == (image["width"], image["height"])
        read = np.asarray(picture.convert("RGBA")).astype(int)
        rows, columns = kernel.shape
        strips = np.split(np.pad(read, ((0, 0), (0, 1), (0, 0))), image["strips"], axis=1)
        whole = np.concatenate([it[:, :columns] for it in strips])[:rows]
        assert np.array_equal(whole[..., :3].sum(axis=-1) == 0, kernel == 0)
        assert np.array_equal(whole[..., 2] > whole[..., 0], kernel < 0)
    for other in ("clustered", "only-clustered"):
        for layer in result_of(published[other])["layers"]:
            assert (layer["weights"]["images"], layer["weights"]["not_pictured"]) == ([], {})


def test_layers_that_nothing_was_done_with_have_a_shape(published: dict[str, Path]) -> None:
    """And the reason; there are no weights to compare."""
    for layer in result_of(published["neither"])["layers"]:
        assert layer["kernel_shape"]
        assert (layer["weights"], layer["pruned"], layer["reason"]) == (
            None,
            False,
            "prune is null",
        )


@pytest.mark.parametrize("name", CASES)
def test_times_smaller_is_the_ratio_of_bytes(published: dict[str, Path], name: str) -> None:
    """The input model, alone, against the smallest form of each file."""
    artifacts = result_of(published[name])["artifacts"]
    reference = artifacts[0]["reference_bytes"]
    for it in artifacts:
        smallest = min([it["bytes"], *(one["bytes"] for one in it["encoded"].values())])
        assert it["times_smaller"] == round(reference / smallest, 4)


def test_pictures_are_of_small_kernels_the_smallest_first_and_have_a_limit() -> None:
    """What has no picture says why; every layer has its histograms."""
    tf_keras.utils.set_random_seed(0)
    sizes = [10, 150, 240, 130, 120, 110, 100, 90, 3]
    model = tf_keras.Sequential(
        [tf_keras.Input((4,)), *(tf_keras.layers.Dense(it, name=f"d{it}") for it in sizes)]
    )
    paths = dict(layers_of(model))
    with tempfile.TemporaryFile() as file:
        before = BaselineKernels(file)
        before.save(model)
        found = [
            LayerResult(
                name=name,
                type="Dense",
                parameters=layer.count_params(),
                prunable_weights=layer.kernel.shape.num_elements(),
                pruned=True,
                reason="the schedule",
                achieved_sparsity=0.0,
                weights=weights_of(before.read(name), [layer.kernel.numpy()]),
            )
            for name, layer in paths.items()
        ]
        results = with_pictures(found, {name: (name, it) for name, it in paths.items()}, before)
    pictured = {it.name for it in results if it.weights and it.weights.images}
    left_out = {
        it.name: it.weights.not_pictured["kernel"]
        for it in results
        if it.weights and it.weights.not_pictured
    }
    assert pictured | set(left_out) == set(paths)
    assert pictured & set(left_out) == set()
    assert pictured >= {"d10", "d150", "d3", "d90", "d120"}
    assert left_out["d240"] == "it has 36,000 weights; pictures are of 32,768 at most"
    assert "pictures of smaller kernels take the 98,304 bytes" in left_out["d130"]
    images = [one for it in results if it.weights for one in it.weights.images]
    assert sum(len(it.before) + len(it.after) for it in images) <= PICTURES
    assert all(it.before == it.after for it in images)
