"""What tables of all types share: dtypes over all splits, columns that are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from job.manifest.data_fields import ColumnConfig
from tests.support.tables import opened, refused, same

AB = {"inputs": ["a", "b"], "targets": "y"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small tables."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("a,b,y\n1,2,0\n3,4,1\n")
    (folder / "test.csv").write_text("y,b,a\n0.5,2.5,1\n")
    (folder / "validation.csv").write_text("a,b,y\n1,-2,1\n")
    return folder


def split(which: str, **fields: Any) -> dict[str, Any]:
    return {"files": f"{which}.csv", **AB, **fields}


def test_an_array_has_one_dtype_in_all_splits(folder: Path) -> None:
    """A fraction in the test rows makes floats of the training rows."""
    found = opened(folder, split("train"), test=split("test"), validation=split("validation"))
    assert found.test is not None
    assert found.validation is not None
    same(found.train.inputs[0], [[1, 2], [3, 4]], "float32")
    same(found.test.inputs[0], [[1, 2.5]], "float32")
    same(found.validation.inputs[0], [[1, -2]], "float32")
    same(found.train.targets[0], [0, 1], "float32")
    found = opened(folder, split("train"), validation=split("validation"))
    same(found.train.inputs[0], [[1, 2], [3, 4]], "int8")
    same(found.train.targets[0], [0, 1], "int64")


def test_a_pattern_has_one_order_in_all_splits(folder: Path) -> None:
    """That of the training rows."""
    train = split("train", inputs="*")
    found = opened(folder, train, test=split("test", inputs="*"))
    assert found.test is not None
    same(found.test.inputs[0], [[1, 2.5]], "float32")


def test_splits_without_targets(folder: Path) -> None:
    """There are none then."""
    found = opened(folder, split("train", targets=None))
    assert found.train.targets == ()
    assert found.train.weights == ()


def test_settings_of_unused_columns_and_missing_files_are_refused(folder: Path) -> None:
    """They are likely typing errors."""
    error = refused(folder, split("train"), columns={"c": {"missing": 0}})
    assert "'c'" in error.what
    assert error.where == "dataset.columns"
    error = refused(folder, split("trian"))
    assert error.where == "dataset.train.files"
    assert "train.csv" in error.hint


@pytest.mark.parametrize(
    "column",
    [
        {"one_hot": True},
        {"missing": "red"},
        {"vocabulary": ["red", "red"]},
        {"vocabulary": ["red"], "missing": "blue"},
        {"vocabulary": ["red"], "missing": 0},
    ],
)
def test_a_column_that_contradicts_itself_is_refused(column: dict[str, Any]) -> None:
    """When the manifest is read."""
    with pytest.raises(ValidationError):
        ColumnConfig.model_validate(column)


@pytest.mark.parametrize(
    "fields",
    [
        {"test": {**AB, "weights": "w"}},
        {"delimiter": '"'},
        {"delimiter": "§"},
        {"delimiter": "x"},
        {"delimiter": "0"},
        {"delimiter": ",", "decimal": ","},
    ],
)
def test_a_manifest_that_cannot_be_carried_out_is_refused(
    fields: dict[str, Any], folder: Path
) -> None:
    """Weights of test rows, and delimiters that are none."""
    with pytest.raises(ValidationError):
        opened(folder, split("train"), **fields)
