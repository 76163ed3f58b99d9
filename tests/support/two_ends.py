"""A Keras 3 model of two inputs and two outputs, and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

INPUTS, TARGETS = ("picture", "kind"), ("side", "size")
# Of the manifest's data set.
SPLITS = {
    split: {
        "inputs": {it: f"{it}_{split}" for it in INPUTS},
        "targets": {it: f"{it}_{split}" for it in TARGETS},
    }
    for split in ("train", "test")
}


def write_two_ends(folder: Path) -> dict[str, Any]:
    """Write ``two.keras`` and ``two.npz``: a picture (bytes, scaled) and an index (not scaled), and
    two outputs; a layer has a blank in its name.

    Returns:
        The arrays, by the names that ``SPLITS`` has.
    """
    import keras

    random = np.random.default_rng(3)
    data: dict[str, Any] = {}
    for split, rows in (("train", 96), ("test", 40)):
        picture = random.integers(0, 256, (rows, 6, 6), dtype=np.uint8)
        kind = random.integers(0, 9, (rows,), dtype=np.int64)
        side = (picture.mean((1, 2)) > 128).astype(np.int64)
        data |= {f"picture_{split}": picture, f"kind_{split}": kind}
        data |= {f"side_{split}": side, f"size_{split}": kind / 9.0}
    np.savez(folder / "two.npz", **data)
    keras.utils.set_random_seed(3)
    picture = keras.Input((6, 6), name="picture")
    kind = keras.Input((), dtype="int32", name="kind")
    flat = keras.layers.Flatten()(picture)
    x = keras.layers.Dense(16, activation="relu", name="my head")(flat)  # predict fails for it
    x = keras.layers.Concatenate()([x, keras.layers.Embedding(9, 8)(kind)])
    side = keras.layers.Dense(2, activation="softmax", name="side")(x)
    size = keras.layers.Dense(1, name="size")(x)
    keras.Model([picture, kind], [side, size]).save(folder / "two.keras")
    return data
