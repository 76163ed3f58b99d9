"""An error of the child is the same error in the parent, explained to the user."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from job.errors import BugError, InputError, StageError, StorageError
from job.worker.protocol import error_event, error_of


@pytest.mark.parametrize(
    ("raised", "kind", "what"),
    [
        (InputError("It is damaged.", where="m.h5", hint="Save it again."), InputError, "damaged"),
        (MemoryError(), StageError, "out of memory"),
        (ImportError("libtensorflow"), StageError, "can't be loaded: libtensorflow"),
        (OSError(errno.ENOSPC, "No space left on device"), StorageError, "the disk is full"),
        (KeyError("x"), BugError, "KeyError: 'x'"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_an_error_crosses_as_an_event(
    raised: BaseException, kind: type[Exception], what: str, tmp_path: Path
) -> None:
    """Its class, its message, its place and what to do."""
    with pytest.raises(type(raised)) as caught:
        raise raised
    event = json.loads(json.dumps(error_event(caught.value, str(tmp_path))))
    assert event["event"] == "work_error"
    found = error_of(event)
    assert type(found) is kind
    assert what in found.what
    if isinstance(raised, InputError):
        assert (found.where, found.hint) == (raised.where, raised.hint)


def test_an_error_from_inside_a_graph_crosses_as_itself(tmp_path: Path) -> None:
    """TensorFlow raises one of its own, which quotes it; another one is explained."""
    import tensorflow as tf

    def read() -> None:
        raise InputError("The file is shorter.", where="x.npy", hint="Run again.")

    @tf.function  # type: ignore[untyped-decorator]
    def train() -> object:
        return tf.numpy_function(read, [], tf.float32)

    with pytest.raises(tf.errors.OpError) as caught:
        train()
    found = error_of(error_event(caught.value, str(tmp_path)))
    assert isinstance(found, InputError)
    assert (found.what, found.where, found.hint) == ("The file is shorter.", "x.npy", "Run again.")
    other = error_of(error_event(tf.errors.UnknownError(None, None, "why"), str(tmp_path)))
    assert isinstance(other, StageError)
