"""The lines of docs/using-the-files.md, run on what was really published."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, paredown
from tests.support.published import read_result
from tests.support.rare import rare
from tests.support.two_ends import INPUTS, SPLITS, TARGETS, write_two_ends

DOCUMENT = ROOT / "docs" / "using-the-files.md"
FUNCTIONS, TFLITE, ROW_BY_ROW, NAMELESS, KERAS = re.findall(
    r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
)
VARIANTS = [
    *({"type": "int8"}, {"type": "dynamic_range"}, {"type": "float32"}),
    {"type": "dynamic_range", "name": "slim", "slim": True},
    {"type": "int8", "name": "one_row", "slim": True, "batch_size": 1, "c_array": True},
]


def run_lines(*blocks: str, variant: str = "int8", **names: Any) -> dict[str, Any]:
    """What the names are after the lines of the document have run, for another variant too."""
    text = "\n".join(blocks).replace('== "int8"', f'== "{variant}"')
    exec(compile(text, str(DOCUMENT), "exec"), names)  # noqa: S102 - the document's own lines
    return names


def publish(folder: Path, **sections: Any) -> tuple[Path, dict[str, Any]]:
    """Run a job; where its files are, and its result."""
    job = {"name": "a", "dataset": {"uri": "data.npz"}, **sections}
    (folder / "job.json").write_text(json.dumps(job))
    ended = paredown("run", folder / "job.json")
    assert ended.code == 0, ended.err
    return folder / "out", read_result(folder / "out")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A Keras 3 model of a picture (bytes, scaled) and an index (not scaled), with two outputs."""
    folder = tmp_path_factory.mktemp("two")
    data = write_two_ends(folder)
    out, result = publish(
        folder,
        model={"uri": "two.keras"},
        dataset={"uri": "two.npz", "scale": 1 / 255, **SPLITS},
        training={"epochs": 4, "batch_size": 16},
        quantize=VARIANTS,
    )
    return out, result, {it: data[f"{it}_test"] for it in (*INPUTS, *TARGETS)}


@pytest.mark.parametrize("variant", ["int8", "dynamic_range", "float32"])
def test_a_tflite_of_several_inputs_answers_as_it_was_measured(
    variant: str, two: tuple[Path, dict[str, Any], dict[str, Any]]
) -> None:
    """Indices are not scaled, pixels are; quantized answers come back as real ones."""
    out, result, rows = two
    found = run_lines(FUNCTIONS, TFLITE, variant=variant, out=out, rows=rows)
    (artifact,) = [it for it in result["artifacts"] if it["variant"] == variant]
    factors = {it["name"]: it["multiply_by"] for it in artifact["inputs"]}
    assert factors == {"picture": pytest.approx(1 / 255), "kind": 1}
    right = found["outputs"]["side"].argmax(-1) == rows["side"]
    assert right.mean() == pytest.approx(artifact["metrics"]["side_accuracy"], abs=1e-6)
    error = np.abs(found["outputs"]["size"][:, 0] - rows["size"]).mean()
    measured = artifact["metrics"]["size_mean_absolute_error"]
    assert error == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize("variant", ["slim", "one_row"])
def test_a_file_without_names_answers_as_it_was_measured(
    variant: str, two: tuple[Path, dict[str, Any], dict[str, Any]]
) -> None:
    """By position, of any number of rows and of one; its C array has its bytes."""
    out, result, rows = two
    found = run_lines(
        FUNCTIONS, TFLITE.split("run = ")[0], NAMELESS, variant=variant, out=out, rows=rows
    )
    (artifact,) = [it for it in result["artifacts"] if it["variant"] == variant]
    right = found["outputs"]["side"].argmax(-1) == rows["side"]
    assert right.mean() == pytest.approx(artifact["metrics"]["side_accuracy"], abs=1e-6)
    error = np.abs(found["outputs"]["size"][:, 0] - rows["size"]).mean()
    assert error == pytest.approx(artifact["metrics"]["size_mean_absolute_error"], rel=1e-3)
    if artifact["c_array"] is not None:
        text = (out / artifact["c_array"]["path"]).read_text()
        written = bytes(int(it, 16) for it in re.findall(r"0x([0-9a-f]{2})", text))
        assert written == (out / artifact["path"]).read_bytes()


def test_a_keras_3_file_answers_as_it_was_measured(
    two: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    """Loaded by the package that the result names."""
    out, result, rows = two
    found = run_lines(FUNCTIONS, KERAS, out=out, rows=rows, folder=tmp_path)
    (artifact,) = [it for it in result["artifacts"] if it["stage"] == "prune"]
    assert artifact["usage"] == {"loader": "keras", "has_state": False}
    right = found["answers"][0].argmax(-1) == rows["side"]
    assert right.mean() == pytest.approx(artifact["metrics"]["side_accuracy"], abs=1e-6)


def test_the_result_names_the_smallest_file_of_all(
    two: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    """Without gates; and it is there, of that size."""
    out, result, _ = two
    chosen = result["chosen"]
    sizes = [
        min(it["bytes"], *(form["bytes"] for form in it["encoded"].values()))
        for it in result["artifacts"][1:]
    ]
    assert chosen["bytes"] == min(sizes) == (out / chosen["path"]).stat().st_size
    decoders = {form["decoder"] for it in result["artifacts"] for form in it["encoded"].values()}
    assert decoders == {"zip", "gzip"}
    assert result["waited_s"] < 1


@rare
def test_a_file_with_a_state_is_called_row_by_row(tmp_path: Path) -> None:
    """An LSTM of Keras 2: each row begins anew."""
    import tf_keras

    random = np.random.default_rng(5)
    rows = {
        split: random.normal(size=(count, 5, 3)) for split, count in (("train", 64), ("test", 12))
    }
    data: dict[str, Any] = {f"x_{split}": it.astype(np.float32) for split, it in rows.items()}
    data |= {f"y_{split}": it.sum((1, 2)).astype(np.float32) for split, it in rows.items()}
    np.savez(tmp_path / "data.npz", **data)
    tf_keras.utils.set_random_seed(5)
    given = tf_keras.Input((5, 3), name="steps")
    last = tf_keras.layers.Dense(1, name="sum")(tf_keras.layers.LSTM(8)(given))
    tf_keras.Model(given, last).save(tmp_path / "model.h5")
    out, result = publish(tmp_path, model={"uri": "model.h5"}, quantize=[{"type": "float32"}])
    given_rows = {"steps": data["x_test"]}
    found = run_lines(
        FUNCTIONS,
        TFLITE.split("run = ")[0],
        ROW_BY_ROW,
        variant="float32",
        out=out,
        rows=given_rows,
    )
    artifact = found["artifact"]
    assert artifact["usage"] == {"loader": "ai_edge_litert", "has_state": True}
    error = np.abs(found["outputs"]["sum"][:, 0] - data["y_test"]).mean()
    assert error == pytest.approx(artifact["metrics"]["mean_absolute_error"], rel=1e-4)
    loaded = run_lines(FUNCTIONS, KERAS, out=out, rows=given_rows, folder=tmp_path)
    assert np.abs(loaded["answers"] - found["outputs"]["sum"]).max() < 1e-4
    assert result["artifacts"][1]["usage"]["loader"] == "tf_keras"
