"""Whole models as HDF5 files of Keras 2."""

from __future__ import annotations

from pathlib import Path

import h5py
import tf_keras


def load(path: Path) -> tf_keras.Model:
    """Load a model from a file that was judged; nothing that it was compiled with is kept."""
    with h5py.File(path, "r") as file:  # by its path Keras could take it for another format
        return tf_keras.models.load_model(file, compile=False)


def optimizer_bytes(path: Path) -> int:
    """The bytes of the optimizer's state that the file holds: up to twice those of the weights."""
    sizes: list[int] = []

    def add(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.id.get_storage_size())

    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if "optimizer_weights" in file:
                file["optimizer_weights"].visititems(add)
    return sum(sizes)
