"""Whole models as HDF5 files: judged, and loaded where Keras 2 wrote them."""

from __future__ import annotations

from pathlib import Path

import h5py
import tf_keras

from job.errors import InputError
from job.models.scan import read_config
from job.models.scan_hdf5 import read_attributes


def is_hdf5(path: Path) -> bool:
    """Whether it begins as HDF5 does."""
    return bool(h5py.is_hdf5(path))


def judge(path: Path) -> str:
    """Read the file's configuration as data, and refuse what could run code.

    Returns:
        The version of Keras that wrote it.

    Raises:
        InputError: Where the file is no whole model, or is refused by the scan.
    """
    attributes = read_attributes(path)
    if "model_config" not in attributes:
        raise InputError(
            "The model file holds weights only: there is no model_config in it.",
            where=str(path),
            hint="Save the whole model: model.save('model.h5'), not model.save_weights(...).",
        )
    read_config(attributes["model_config"], str(path))
    return attributes.get("keras_version", "1")


def load(path: Path) -> tf_keras.Model:
    """Judge and load a model of Keras 2; nothing that it was compiled with is kept.

    Raises:
        InputError: Where the file is refused, or Keras can't rebuild the model from it.
    """
    version = judge(path)
    if not version.startswith("2."):
        raise InputError(
            f"The model file was saved by Keras {version}, and not by Keras 2.",
            where=str(path),
            hint="Load it with the Keras that saved it, and save it again with Keras 2 or 3.",
        )
    try:
        with h5py.File(path, "r") as file:  # by its path Keras could take it for another format
            model = tf_keras.models.load_model(file, compile=False)
        return with_inputs(model, path)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises whatever the config makes it stumble over
        raise not_rebuilt(error, path) from None


def with_inputs(model: tf_keras.Model, path: Path) -> tf_keras.Model:
    """The model, if it says what its inputs are.

    Raises:
        InputError: Where it does not.
    """
    if not getattr(model, "inputs", None):
        raise InputError(
            "The model does not say what shape its inputs have.",
            where=str(path),
            hint="Build it before it is saved: model.build(...), or add an InputLayer.",
        )
    return model


def not_rebuilt(error: Exception, path: Path) -> InputError:
    """What a user is told where Keras raises while it loads."""
    reason = (str(error).strip().splitlines() or [""])[0]
    return InputError(
        f"Keras can't rebuild the model from its file: {type(error).__name__}: {reason[:300]}",
        where=str(path),
        hint="Check that the Keras that saved it loads it; it may be corrupt.",
    )


def optimizer_bytes(path: Path) -> int:
    """The bytes of the optimizer's state that the file holds: up to twice those of the weights."""
    sizes: list[int] = []

    def add(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.id.get_storage_size())

    if is_hdf5(path):
        with h5py.File(path, "r") as file:
            if "optimizer_weights" in file:
                file["optimizer_weights"].visititems(add)
    return sum(sizes)
