"""Rules say which layers have how many bits; a variant's file comes back from its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from job.errors import StageError
from job.metrics import litert
from job.metrics.promises import check
from job.models.layers import layers_of, users_name
from job.worker.small import VariantFile, bits_of, make_file, making_of, variant_in
from tests.support.flat import pictures, small_model, variant


def made(tmp_path: Path, **options: object) -> VariantFile:
    model = small_model(4)
    config = variant(str(options.pop("type", "dynamic_range")), name="small", **options)
    rows = (pictures(20),)
    making = making_of(model, config, rows, proves=True)
    return make_file(model, config, rows, tmp_path / "small.tflite", making)


def test_the_first_rule_that_fits_is_taken() -> None:
    """By name, pattern or type; other layers have the variant's bits."""
    model = small_model(4)
    layers = {users_name(path): layer for path, layer in layers_of(model)}
    rules = [{"name": "den*", "weight_bits": 2}, {"type": "Dense", "weight_bits": 8}]
    found = bits_of(variant("dynamic_range", weight_bits=4, layers=rules), layers)
    assert (found["conv"], found["dense"]) == (4, 2)
    assert bits_of(variant("int8"), layers) == {}


def test_a_file_and_its_c_array_are_restored(tmp_path: Path) -> None:
    """With what is said of them."""
    (tmp_path / "there").mkdir()
    file = made(tmp_path, weight_bits=4, slim=True, c_array=True)
    form = variant_in(tmp_path / "there")
    record, paths = form.write(file)
    assert [it.name for it in paths] == ["small.tflite", "small.tflite.cc"]
    restored = form.read(record, {it.name: it for it in paths})
    assert restored.record == file.record
    assert restored.path.read_bytes() == file.path.read_bytes()
    assert (tmp_path / "there" / "small.tflite.cc").exists()
    assert any("by their position" in text for text in restored.says())


def test_layers_with_more_bits_than_asked_are_said(tmp_path: Path) -> None:
    """With the reason, for the result."""
    file = made(tmp_path, weight_bits=4, per_channel=False, target="tflite-2.14")
    assert (
        "conv has 8-bit weights, not 4: tflite-2.14 has no 4-bit kernel of CONV_2D" in file.says()
    )


def test_a_file_that_the_target_can_not_run_is_an_error(tmp_path: Path) -> None:
    """The promise is checked in the file, by its name for the runtime."""
    path = made(tmp_path, weight_bits=4).path
    asked = variant("dynamic_range", target="tflite-2.14")
    with pytest.raises(
        StageError, match=r"needs litert-2\.1, for .*, and the target is tflite-2\.14"
    ):
        check(asked, path, *litert.describe_file(path))
    with pytest.raises(StageError, match="Microcontrollers does not run the file: it has integer"):
        check(variant("float32", target="tflm"), path, *litert.describe_file(path))


def test_a_slim_file_for_micro_keeps_its_promises(tmp_path: Path) -> None:
    """Its ends have the model's names, though the file has none."""
    file = made(tmp_path, type="int8", slim=True, target="tflm")
    ends = litert.describe_file(file.path, ["picture"], ["dense"])
    assert [it.name for it in (*ends[0], *ends[1])] == ["picture", "dense"]
    assert ends[0][0].shape == [1, 8, 8, 2]
    assert check(variant("int8", target="tflm"), file.path, *ends)
