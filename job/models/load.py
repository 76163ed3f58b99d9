"""A model file -> a model that tfmot can prune, and back into a file of the same format.

The file's own words choose how it is read, never trial and error: what kind of file it is, and the
version of Keras that wrote it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tf_keras

from job.errors import InputError, StageError
from job.models import archive, h5, precision

Format = Literal["h5", "keras"]


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read from its file."""

    format: Format
    keras_version: str
    model: tf_keras.Model
    """The model in Keras 2 and in float32: what is pruned and converted."""
    original: Any
    """The model as it came: what is measured. Of a Keras 2 file in float32, ``model``."""

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return not self.keras_version.startswith("2.")


def read(path: Path) -> ModelFile:
    """Judge a model file, and load it.

    Raises:
        InputError: Where it is refused, damaged, or of a kind that is not supported.
    """
    if zipfile.is_zipfile(path) and h5.is_hdf5(path):
        raise InputError(
            "The model file is an HDF5 file and a zip archive at once: one of them hides there.",
            where=str(path),
            hint="Load the model where it was trained, and save it again.",
        )
    kind: Format = "keras" if zipfile.is_zipfile(path) else "h5"
    version = archive.judge(path) if kind == "keras" else h5.judge(path)
    if version.startswith("2."):
        model = h5.load(path) if kind == "h5" else _load_keras2(path)
        precision.refuse_coarse_weights(model, str(path))
        return ModelFile(kind, version, precision.in_float32(model), model)
    if version.startswith("3."):
        from job.models import keras3  # a second to import, and rarely needed

        original = keras3.read(path)
        precision.refuse_coarse_weights(original, str(path))
        return ModelFile(kind, version, keras3.rebuild(original, str(path)), original)
    raise InputError(
        f"The model file was saved by Keras {version}; Keras 2 and 3 are supported.",
        where=str(path),
        hint="Load it with TensorFlow 2, and save it again.",
    )


def save(pruned: tf_keras.Model, like: ModelFile, path: Path) -> ModelFile:
    """Save a pruned model in the format that it came in, read it back and compare.

    Args:
        pruned: The model in Keras 2.
        like: The file that it was made of; its ``original`` takes the new weights.
        path: Where the file goes.

    Raises:
        StageError: Where what was read back is not what was saved.
    """
    if like.is_keras3:
        from job.models import keras3

        keras3.write(like.original, pruned, path)
    else:
        model = pruned
        if like.original is not like.model:  # of another precision, which the file keeps
            model = like.original
            model.set_weights(pruned.get_weights())
        if like.format == "keras":
            model.save(path)  # it is not compiled, so there is no optimizer to leave out
        else:
            model.save(path, include_optimizer=False, save_format="h5")
    if path.suffix == ".keras":
        archive.repack(path)
    try:
        reloaded = read(path)
    except InputError as error:
        raise StageError(f"The saved model does not load again: {error.what}") from None
    if len(pruned.weights) != len(reloaded.model.weights):
        raise StageError("The saved model has other weights than before.", where=path.name)
    for before, after in zip(pruned.weights, reloaded.model.weights, strict=True):
        if not np.array_equal(before.numpy(), after.numpy(), equal_nan=True):
            raise StageError("The saved model has other weights than before.", where=before.name)
    return reloaded


def _load_keras2(path: Path) -> tf_keras.Model:
    try:
        model = tf_keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - Keras raises whatever the config makes it stumble over
        raise h5.not_rebuilt(error, path) from None
    return h5.with_inputs(model, path)
