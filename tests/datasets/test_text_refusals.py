"""Texts that can't be read, or do not fit the model, are refused with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from job.datasets.texts import open_text
from job.errors import InputError
from job.result.specs import TensorSpec
from tests.datasets.test_texts import LINES, X, config, refused, small, source


@pytest.mark.parametrize(
    ("train", "contents", "what", "where"),
    [
        (LINES, {"train_labels": "yes\nno\n"}, "3 texts and 2 labels", "train.labels"),
        (LINES, {"train_labels": "yes\nno\nyes\nno\n"}, "3 texts and 4 labels", "train.labels"),
        (LINES, {"train_labels": "yes\n\nyes\n"}, "label is empty", "train.labels, line 2"),
        (LINES, {"train_txt": ""}, "train split has no rows", "train.txt"),
        (LINES, {"train_txt": b"a\n\xff\n"}, "not UTF-8", "train.txt, line 2"),
        (LINES, {"train_txt": b"a" * ((1 << 20) + 1)}, "1,048,576 bytes", "train.txt, line 1"),
        (LINES | {"files": "x*"}, {}, "matches x*", "dataset.train.files"),
        (LINES | {"files": "*.txt"}, {}, "the vocabulary", "dataset.train.files"),
        (LINES | {"files": "train.*s"}, {}, "file of labels", "dataset.train.files"),
        (LINES | {"targets": "../labels"}, {}, "no file '../labels'", "dataset.train.targets"),
        (LINES | {"targets": {"other": "a"}}, {}, "names other", "dataset.train.targets"),
    ],
)
def test_lines_that_are_wrong_are_refused(
    train: dict[str, Any], contents: dict[str, Any], what: str, where: str, tmp_path: Path
) -> None:
    """With the file and the line, or the place in the manifest."""
    error = refused(tmp_path, {"train": train}, **contents)
    assert what in error.what
    assert error.where.endswith(where)


COLUMNS = {"files": "train.csv", "inputs": "text", "targets": "label"}


@pytest.mark.parametrize(
    ("train", "content", "what", "where"),
    [
        (COLUMNS, 'text,label\n"a\nb",x\na,b,c\n', "has 3 fields; the header has 2", ", line 4"),
        (COLUMNS, "text,label\na,x\nb\n", "has 1 fields", ", line 3"),
        (COLUMNS, "text,labels\na,x\n", "names 'label', and the file has no column", "train.csv"),
        (COLUMNS, "text,label,text\na,x,b\n", "two columns", "train.csv"),
        (COLUMNS, "text,label\n", "no rows", "train.csv"),
        (COLUMNS, "", "no column", "train.csv"),
        (COLUMNS, 'text,label\n"a"b,x\n', "can't be read", ", line 2"),
        (COLUMNS | {"inputs": {"other": "text"}}, "text,label\n", "other", "train.inputs"),
    ],
)
def test_a_csv_that_is_wrong_is_refused(
    train: dict[str, Any], content: str, what: str, where: str, tmp_path: Path
) -> None:
    """With the row's first line."""
    error = refused(tmp_path, {"train": train}, train_csv=content)
    assert what in error.what
    assert error.where.endswith(where)


def test_a_label_that_is_no_class_is_refused_with_its_line(tmp_path: Path) -> None:
    """The classes are listed."""
    error = refused(tmp_path, {"class_names": ["yes", "maybe"]})
    assert "'no' is not one of" in error.what
    assert error.where.endswith("train.labels, line 2")
    assert "yes, maybe" in error.hint


def test_lines_are_of_one_input(tmp_path: Path) -> None:
    """Several inputs need columns."""
    given = source(small(tmp_path), tmp_path, [X, TensorSpec("other", (8,), "int32")])
    with pytest.raises(InputError, match="one input") as caught:
        open_text(given, config())
    assert caught.value.where == "dataset.train.inputs"
    assert "CSV" in caught.value.hint


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", "", ";;"])
def test_a_delimiter_that_separates_nothing_is_refused(delimiter: str) -> None:
    """A quote or a line break, none, or two characters."""
    with pytest.raises(ValidationError, match="delimiter"):
        config(delimiter=delimiter)


@pytest.mark.parametrize("delimiter", ["a", "7"])
def test_a_delimiter_is_no_letter_or_digit(delimiter: str) -> None:
    """Texts would be cut within words."""
    with pytest.raises(ValidationError, match="delimiter"):
        config(delimiter=delimiter)


def test_rows_of_another_length_than_the_models_are_refused(tmp_path: Path) -> None:
    """Before a file is read; not where the rows are reshaped, or the model takes any length."""
    given = source(small(tmp_path), tmp_path, [TensorSpec("text", (8,), "float32")])
    with pytest.raises(InputError) as caught:
        open_text(given, config(sequence_length=5, train=LINES))
    assert caught.value.what == "sequence_length is 5; the model's input text has 8 integers."
    assert caught.value.where == "dataset.sequence_length"
    opened = open_text(source(small(tmp_path), tmp_path), config(sequence_length=5, train=LINES))
    assert opened.train.inputs[0].shape[1:] == (5,)
    reshaped = config(sequence_length=5, train=LINES, preprocess=[{"one_hot": 9}])
    assert open_text(given, reshaped).train.inputs[0].shape[1:] == (5,)
