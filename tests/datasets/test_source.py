"""What the manifest names is found in the model's order and in the data set's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from job.datasets.source import matching, ordered, weights_of
from job.errors import InputError
from job.result.specs import TensorSpec
from job.text import first_names
from tests.support.sources import source_of

SPECS = [TensorSpec("zeta", (2,), "float32"), TensorSpec("alpha", (3,), "int32")]
WHERE = "dataset.train.inputs"


@pytest.mark.parametrize("names", [["z", "a"], {"zeta": "z", "alpha": "a"}, ("z", "a")])
def test_names_come_in_the_models_order(names: Any) -> None:
    """A list is in it; a mapping's own order does not matter."""
    assert ordered(names, SPECS, "input", WHERE) == ["z", "a"]


def test_one_name_is_for_a_model_of_one_input() -> None:
    """A list of columns is one thing to a table, and stays one."""
    assert ordered("a", SPECS[:1], "input", WHERE) == ["a"]
    assert ordered({"zeta": ["b", "c"]}, SPECS[:1], "input", WHERE) == [["b", "c"]]


@pytest.mark.parametrize("names", ["a", ["a"], ["a", "b", "c"], {"zeta": "a"}, {"zeta": 1, "x": 2}])
def test_names_that_are_not_one_for_each_are_refused(names: Any) -> None:
    """With the model's names and the place in the manifest."""
    with pytest.raises(InputError, match="zeta, alpha") as caught:
        ordered(names, SPECS, "output", WHERE)
    assert caught.value.where == WHERE
    assert "output" in caught.value.hint


def test_weights_are_of_all_outputs_or_of_those_that_are_named() -> None:
    """Null is none."""
    assert weights_of(None, SPECS) == []
    assert weights_of("w", SPECS) == ["w", "w"]
    assert weights_of({"alpha": "w"}, SPECS) == [None, "w"]
    with pytest.raises(InputError, match="no output beta; its outputs: zeta, alpha") as caught:
        weights_of({"beta": "w", "alpha": "w"}, SPECS)
    assert caught.value.where == "dataset.train.weights"


def test_the_files_of_a_split_are_sorted_and_never_others(tmp_path: Path) -> None:
    """A pattern finds names of the data set; it is no path."""
    (tmp_path / "secret").write_text("")
    names = ["b/2.csv", "a/1.csv", "a/10.csv", "top.csv"]
    source = source_of({name: tmp_path / name for name in names}, SPECS, SPECS)
    assert list(matching(source, None, WHERE)) == sorted(names)
    found = matching(source, "a/*.csv", WHERE)
    assert list(found.items()) == [(name, tmp_path / name) for name in ("a/1.csv", "a/10.csv")]
    assert list(matching(source, "**/*", WHERE)) == sorted(names)
    for pattern in ("secret", "../secret", str(tmp_path / "secret"), "a/../secret"):
        with pytest.raises(InputError, match="No file of the data set matches") as caught:
            matching(source, pattern, WHERE)
        assert caught.value.where == WHERE
        assert "b/2.csv" in caught.value.hint


def test_a_message_does_not_name_thousands_of_files(tmp_path: Path) -> None:
    """Some of them, and the place of all."""
    files = {f"{number:04}": tmp_path / f"{number:04}" for number in range(5000)}
    source = source_of(files, SPECS, SPECS)
    with pytest.raises(InputError) as caught:
        matching(source, "*.png", WHERE)
    assert caught.value.hint.count("00") == 20 + 1  # 0000 has two
    assert caught.value.hint.endswith(", and 4,980 more.")
    assert source.place == f"{tmp_path}/0000 and 4,999 more"
    assert source_of([tmp_path / "a"], SPECS, SPECS).place == f"{tmp_path}/a"


def test_names_in_messages_are_the_first_ones_and_how_many_more() -> None:
    """Of none, it says so."""
    assert first_names([]) == "none"
    assert first_names(["a", "b"], most=2) == "a, b"
    assert first_names(iter("abcd"), most=2) == "a, b, and 2 more"
