"""Keras 3 models: rebuilt as ``tf_keras`` models, which tfmot can prune, and written back.

tfmot works on Keras 2 alone and always will (tfmot issues 1119 and 1172). Loading a Keras 3 file
in ``tf_keras`` fails; rebuilding the model does not: its graph is walked, each layer is made again
from its configuration and called as it was called, and its weights are copied. The outputs are
compared, and a model that answers differently is refused.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import tf_keras

from job.errors import InputError
from job.models import precision
from job.models.budget import refuse_huge_answers
from job.models.compare import TOLERANCE, Rows, difference
from job.models.keras3_walk import Rebuilding, walk
from job.models.keras3_weights import copy_to_keras2, copy_to_keras3
from job.models.keras_file import write_judged
from job.models.names import in_users_names, take_scope_names
from job.safety.judge import Judged


def read(judged: Judged, *, trust: bool) -> keras.Model:
    """A Keras 3 model from a file that was judged; ``trust`` lets its code run."""
    with tempfile.TemporaryDirectory() as scratch:
        if judged.format == "keras":
            path = write_judged(judged, Path(scratch))
        else:  # Keras goes by the name of a file
            path = Path(scratch) / "model.h5"
            path.symlink_to(judged.path.absolute())
        model = keras.models.load_model(path, compile=False, safe_mode=not trust)
        take_scope_names(model)
        return model


def write(original: keras.Model, pruned: tf_keras.Model, path: Path) -> None:
    """Save the pruned weights as a Keras 3 file.

    Args:
        original: The Keras 3 model; its weights are changed.
        pruned: The same model in ``tf_keras``, pruned.
        path: Where the file goes.
    """
    copy_to_keras3(pruned, original)
    with in_users_names(original):
        original.save(path)


def rebuild(model: keras.Model, where: str) -> tf_keras.Model:
    """The same model in ``tf_keras`` and in float32: same layer names, same weights, same outputs.

    Args:
        model: A Keras 3 Sequential or functional model.
        where: The file, for messages.

    Raises:
        InputError: Where the model has no graph, a layer has no counterpart, or the outputs differ.
        Exception: What either Keras raises, where it can't make or call a model.
    """
    rebuilding, rebuilt = walk(model, where)
    copy_to_keras2(model, rebuilt)
    refuse_huge_answers(rebuilt, where)
    _refuse_different(model, rebuilt, where, rebuilding)
    return rebuilt


def compare(model: keras.Model, rebuilt: tf_keras.Model, where: str, rows: Rows) -> None:
    """Compare a model with the rebuilt one, of the same weights, on rows of data.

    Raises:
        InputError: Where the outputs differ.
    """
    _refuse_different(model, rebuilt, where, None, rows)


def _refuse_different(
    model: keras.Model,
    rebuilt: tf_keras.Model,
    where: str,
    rebuilding: Rebuilding | None,
    rows: Rows | None = None,
) -> None:
    with precision.computing_in_float32(model):
        found = difference(model, rebuilt, rows)
        if found <= TOLERANCE:
            return
        if rebuilding is None:  # the walk is over: it is done again
            rebuilding, rebuilt = walk(model, where)
            copy_to_keras2(model, rebuilt)
        first = rebuilding.first_different(model, rebuilt, rows) or "not to be told"
    on = "random rows" if rows is None else "rows of the data set"
    raise InputError(
        f"The model answers differently when it is rebuilt for Keras 2: by {found:.2g}, on {on}. "
        f"The first layer that differs is {first}.",
        where=where,
        hint="Replace that layer; it can't be pruned by tfmot, which needs Keras 2.",
    )
