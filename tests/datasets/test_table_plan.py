"""Columns are found by name and pattern, and never leak from targets into inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from job.datasets.table_plan import aligned, decisions_of, resolved, slots_of
from job.errors import InputError
from job.manifest.data_fields import TableSplitConfig
from tests.support.tables import source_of

NAMES = ["id", "p2", "p1", "p10", "y", "y2", "w[0]", "w0"]


def columns(folder: Path, **split: Any) -> list[tuple[str, ...]]:
    config = TableSplitConfig.model_validate(split)
    slots = slots_of("train", config, source_of(folder))
    return [slot.columns for slot in resolved(slots, NAMES, "a.csv", "")]


def test_patterns_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Only the star is special."""
    assert columns(tmp_path, inputs="p*") == [("p2", "p1", "p10")]
    assert columns(tmp_path, inputs=["y", "p1*"]) == [("y", "p1", "p10")]
    assert columns(tmp_path, inputs=["w[0]*"]) == [("w[0]",)]


def test_patterns_take_no_targets_and_no_weights(tmp_path: Path) -> None:
    """Not those named by their whole name, and not those of a pattern."""
    found = columns(tmp_path, inputs="*", targets="y*", weights="w0")
    assert found == [("id", "p2", "p1", "p10", "w[0]"), ("y", "y2"), ("w0",)]


def test_what_a_pattern_means_is_reported(tmp_path: Path) -> None:
    """With the columns that it leaves out."""
    config = TableSplitConfig.model_validate({"inputs": "*", "targets": "y"})
    slots = resolved(slots_of("train", config, source_of(tmp_path)), NAMES, "a.csv", "")
    assert decisions_of(slots, NAMES) == [
        "dataset.train.inputs: * is 7 columns, id to w0, without y, used elsewhere"
    ]


def test_a_further_file_follows_the_first(tmp_path: Path) -> None:
    """Its columns are matched by name; other ones are refused."""
    config = TableSplitConfig.model_validate({"inputs": "p*", "targets": "y"})
    slots = slots_of("train", config, source_of(tmp_path))
    first = resolved(slots, NAMES, "a.csv", "")
    other = resolved(slots, ["p10", "y", "p1", "p2"], "b.csv", "")
    assert aligned(other, first, "b.csv") == first
    for names, word in ((["p1", "p2", "y"], "missing p10"), ([*NAMES, "p3"], "additional p3")):
        with pytest.raises(InputError) as caught:
            aligned(resolved(slots, names, "b.csv", ""), first, "b.csv")
        assert word in caught.value.what
        assert caught.value.where == "b.csv"


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        (["p1", "p*1"], "no column 'p*1' that is not used elsewhere"),
        (["p1", "p1"], "'p1' twice"),
        (["p*", "p1*"], "'p1' twice"),
        ("q*", "no column 'q*'"),
        ({"z": "p1"}, "the model's inputs are x"),
    ],
)
def test_wrong_names_are_refused(inputs: Any, what: str, tmp_path: Path) -> None:
    """A column that is missing, or named twice, or for an input that the model has not."""
    with pytest.raises(InputError) as caught:
        columns(tmp_path, inputs=inputs)
    assert what in caught.value.what
