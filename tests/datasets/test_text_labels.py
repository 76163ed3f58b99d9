"""Labels are integers, numbers or names, and never a silent mixture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from job.datasets.source import Source
from job.datasets.text_labels import Labels, Targets
from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows.store import Store

PATH = Path("labels.txt")


def labels(*train: str, test: Sequence[str] = (), names: Sequence[str] | None = None) -> Labels:
    found = Labels(names)
    for split, given in (("train", train), ("test", test)):
        for line, label in enumerate(given, 1):
            found.append(split, label, PATH, line)
    return found


@pytest.mark.parametrize(
    ("given", "dtype", "values"),
    [
        (["3", " -1", "+7 "], np.int64, [3, -1, 7]),
        (["3", "2.5", "-1e2", ".5"], np.float32, [3, 2.5, -100, 0.5]),
        (["9" * 30, "1"], np.float32, [1e30, 1]),
        (["b", "a", "b"], np.int64, [1, 0, 1]),
        (["nan", "inf"], np.int64, [1, 0]),
    ],
)
def test_what_labels_are_is_seen_from_all_of_them(
    given: list[str], dtype: type, values: list[float]
) -> None:
    """Integers, numbers, or names in sorted order; nan is a name as others are."""
    found, _ = labels(*given).finish()
    assert found["train"].dtype == dtype
    np.testing.assert_allclose(found["train"].astype(np.float64), values)


def test_splits_share_their_classes() -> None:
    """A class that only the test rows have moves the others' indices in all splits."""
    found, names = labels("b", "c", test=["a", "c"]).finish()
    assert names == ("a", "b", "c")
    np.testing.assert_array_equal(found["train"], [1, 2])
    np.testing.assert_array_equal(found["test"], [0, 2])


def test_given_classes_decide_the_order_even_of_digits() -> None:
    """A label that is none of them is refused with its line."""
    found, names = labels("0", "x", names=["x", "0", "1"]).finish()
    assert names == ("x", "0", "1")
    np.testing.assert_array_equal(found["train"], [1, 0])
    with pytest.raises(InputError, match="'y' is not one of") as caught:
        labels("x", "y", names=["x", "z"])
    assert caught.value.where == "labels.txt, line 2"
    assert "x, z" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "names", "what", "where"),
    [
        (["1", "2", "N/A", "?"], None, "'N/A' is no number", "labels.txt, line 3"),
        (["1.5", "1e39"], None, "too large", "labels.txt, line 2"),
        (["a", " "], None, "empty", "labels.txt, line 2"),
        (["a"], ["a", "b", "a"], "'a' twice", "dataset.class_names"),
    ],
)
def test_labels_that_mean_nothing_are_refused(
    given: list[str], names: list[str] | None, what: str, where: str
) -> None:
    """Where they are is reported."""
    with pytest.raises(InputError, match=what) as caught:
        labels(*given, names=names).finish()
    assert caught.value.where == where
    assert caught.value.hint


def test_what_was_found_is_reported_for_each_output(tmp_path: Path) -> None:
    """A class without a training row is a warning; an output may have numbers."""
    outputs = [TensorSpec("language", (7,), "float32"), TensorSpec("length", (1,), "float32")]
    source = Source({}, [], outputs, Store(tmp_path, 0, 0))
    found = Targets.of([labels("b", "c", test=["a"]), labels("1.5", "2", test=["3"])], source)
    assert found.classes == ("a", "b", "c")
    assert found.decisions == (
        "The labels of language are 3 classes: a, b, c.",
        "The labels of length are float32 numbers.",
    )
    assert found.warnings == ("No training row of language has the label a.",)
    assert [it.tolist() for it in found.of_split("train")] == [[1, 2], [1.5, 2]]
    assert found.of_split("validation") == ()


def test_more_classes_than_the_models_are_refused_with_the_rarest(tmp_path: Path) -> None:
    """It may be misspelt; with class names, or for another number of outputs, it is no error."""
    given = labels("pos", "neg", "pos", "positive", "neg")
    outputs = [TensorSpec("out", (2,), "float32")]
    source = Source({}, [], outputs, Store(tmp_path, 0, 0))
    with pytest.raises(InputError) as caught:
        Targets.of([given], source)
    assert caught.value.what == (
        "The labels are 3 classes, and the model has 2: neg, pos, positive. The rarest is "
        "'positive'."
    )
    assert caught.value.where == f"{PATH}, line 4"
    assert "dataset.class_names" in caught.value.hint
    one = Source({}, [], [TensorSpec("out", (1,), "float32")], Store(tmp_path, 0, 0))
    assert Targets.of([given], one).classes == ("neg", "pos", "positive")
    assert Targets.of([labels("1", "2", "3")], source).classes == ()
