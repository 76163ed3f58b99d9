"""Whole models as HDF5 files of Keras 2."""

from __future__ import annotations

from pathlib import Path

import h5py
import tf_keras

# Keras 2's own list of its layers lacks these, so that it can't read what it has written.
UNLISTED = {"SpectralNormalization": tf_keras.layers.SpectralNormalization}


def load(path: Path) -> tf_keras.Model:
    """Load a model from a file that was judged; nothing that it was compiled with is kept."""
    with h5py.File(path, "r") as file:  # by its path Keras could take it for another format
        return tf_keras.models.load_model(file, custom_objects=UNLISTED, compile=False)
