"""Whole models as HDF5 files of Keras 2."""

from __future__ import annotations

from pathlib import Path

import h5py
import tf_keras


def load(path: Path) -> tf_keras.Model:
    """Load a model from a file that was judged; nothing that it was compiled with is kept."""
    with h5py.File(path, "r") as file:  # by its path Keras could take it for another format
        return tf_keras.models.load_model(file, compile=False)
