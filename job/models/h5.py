"""Whole Keras 2 models as HDF5 files: loaded after judgement, saved and read back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import tf_keras

from job.errors import InputError, StageError
from job.models.scan import scan_h5


def load(path: Path) -> tf_keras.Model:
    """Load a model for inference and training; nothing that it was compiled with is kept.

    Raises:
        InputError: Where the file is refused, or Keras can't rebuild the model from it.
    """
    scan_h5(path)
    try:
        model = tf_keras.models.load_model(path, compile=False)
    except Exception as error:  # noqa: BLE001 - Keras raises whatever the config makes it stumble over
        reason = str(error).strip().splitlines()
        raise InputError(
            f"Keras can't rebuild the model from its file: {type(error).__name__}: "
            f"{reason[0][:300] if reason else ''}",
            where=str(path),
            hint="Check that tf_keras.models.load_model loads it; it may be corrupt.",
        ) from None
    if not getattr(model, "inputs", None):
        raise InputError(
            "The model does not say what shape its inputs have.",
            where=str(path),
            hint="Build it before it is saved: model.build(...), or add an InputLayer.",
        )
    return model


def has_optimizer_state(path: Path) -> bool:
    """Whether the file also holds an optimizer's state, which makes it up to three times larger."""
    with h5py.File(path, "r") as file:
        return "optimizer_weights" in file


def save(model: tf_keras.Model, path: Path) -> tf_keras.Model:
    """Save a model without its optimizer, load it again and compare.

    Returns:
        The model as it was read back, with the same weights bit by bit.

    Raises:
        StageError: Where what was read back is not what was saved.
    """
    model.save(path, include_optimizer=False, save_format="h5")
    try:
        reloaded = load(path)
    except InputError as error:
        raise StageError(f"The saved model does not load again: {error.what}") from None
    for before, after in zip(model.weights, reloaded.weights, strict=True):
        if not np.array_equal(before.numpy(), after.numpy(), equal_nan=True):
            raise StageError("The saved model has other weights than before.", where=before.name)
    return reloaded
