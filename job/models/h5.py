"""Whole Keras 2 models as HDF5 files: loaded after judgement, saved and read back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import tf_keras

from job.errors import InputError, StageError
from job.models.scan import read_config
from job.models.scan_hdf5 import read_attributes


def load(path: Path) -> tf_keras.Model:
    """Load a model for inference and training; nothing that it was compiled with is kept.

    Raises:
        InputError: Where the file is no whole Keras 2 model, is refused by the scan, or Keras
            can't rebuild the model from it.
    """
    _judge(path)
    try:
        with h5py.File(path, "r") as file:  # by its path Keras could take it for another format
            model = tf_keras.models.load_model(file, compile=False)
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


def _judge(path: Path) -> None:
    """Read the file's configuration as data, and refuse what could run code."""
    attributes = read_attributes(path)
    if "model_config" not in attributes:
        raise InputError(
            "The model file holds weights only: there is no model_config in it.",
            where=str(path),
            hint="Save the whole model: model.save('model.h5'), not model.save_weights(...).",
        )
    version = attributes.get("keras_version", "1")
    if not version.startswith("2."):
        raise InputError(
            f"The model file was saved by Keras {version}; this version reads Keras 2.",
            where=str(path),
            hint="Save the model with tf_keras (Keras 2): model.save('model.h5').",
        )
    read_config(attributes["model_config"], str(path))


def optimizer_bytes(path: Path) -> int:
    """The bytes of the optimizer's state that the file holds: up to twice those of the weights."""
    sizes: list[int] = []

    def add(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.id.get_storage_size())

    with h5py.File(path, "r") as file:
        if "optimizer_weights" in file:
            file["optimizer_weights"].visititems(add)
    return sum(sizes)


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
