"""Twelve small models for a batch: the tutorial's CNN and MLPs, each in several sizes.

They are trained for one epoch and kept in the folder; those that are there already stay as they
are.

Usage: python benchmarks/fleet_models.py MNIST.npz FOLDER
Prints each model's name, its parameters and its accuracy.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CNN_FILTERS = (6, 8, 12, 16, 24, 32)
MLP_UNITS = ((32,), (64,), (128,), (64, 32), (128, 64), (300, 100))
MODELS: Mapping[str, tuple[int, ...]] = {
    **{f"cnn-{filters}": (filters,) for filters in CNN_FILTERS},
    **{f"mlp-{'-'.join(map(str, units))}": units for units in MLP_UNITS},
}


def make_models(data_file: Path, folder: Path) -> list[Path]:
    """Train those that are missing, in this process; all their files, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.h5" for name in MODELS}
    missing = {name: file for name, file in files.items() if not file.exists()}
    if missing:
        _train(missing, data_file)
    return list(files.values())


def _train(missing: Mapping[str, Path], data_file: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tf_keras as keras

    with np.load(data_file) as data:
        images, labels = data["x_train"] / 255.0, data["y_train"]
        test_images, test_labels = data["x_test"] / 255.0, data["y_test"]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for name, file in missing.items():
        keras.utils.set_random_seed(7)
        model = _model(keras, name)
        model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
        model.fit(images, labels, batch_size=128, epochs=1, verbose=0)
        _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
        model.save(file, include_optimizer=False)
        print(f"{name:<14}{model.count_params():>9,} parameters, accuracy {accuracy:.4f}")
        keras.backend.clear_session()


def _model(keras: Any, name: str) -> Any:
    """The model of a name; it answers with logits."""
    layers, sizes = keras.layers, MODELS[name]
    if name.startswith("cnn"):
        inner = [
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(sizes[0], 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ]
    else:
        inner = [layers.Flatten(), *(layers.Dense(units, activation="relu") for units in sizes)]
    return keras.Sequential([layers.InputLayer((28, 28)), *inner, layers.Dense(10)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="MNIST as an .npz archive")
    parser.add_argument("folder", type=Path, help="where the models are kept")
    given = parser.parse_args()
    make_models(given.data, given.folder)


if __name__ == "__main__":
    main()
