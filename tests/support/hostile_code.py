"""Model files that carry code, made as an attacker would make them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import tf_keras

layers = tf_keras.layers


def sing(canary: Path) -> Any:
    """A function whose code, carried by a file, writes another file where it is run."""
    return eval(f"lambda x: (open({str(canary)!r}, 'w').write('sung'), x)[1]")  # noqa: S307


def evil(canary: Path) -> tf_keras.layers.Layer:
    return layers.Lambda(sing(canary), name="evil")


def plain() -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer((5, 4)), layers.Dense(3, name="dense")])


def with_lambda(canary: Path) -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer((5, 4)), evil(canary)])


def with_nested_lambda(canary: Path) -> tf_keras.Model:
    given = tf_keras.Input((5, 4))
    return tf_keras.Model(given, layers.Dense(2)(with_lambda(canary)(given)))


def with_wrapped_lambda(canary: Path) -> tf_keras.Model:
    wrapped = layers.TimeDistributed(evil(canary), name="each")
    return tf_keras.Sequential([layers.InputLayer((5, 4)), wrapped])


def _h5(make: Callable[[Path], tf_keras.Model]) -> Callable[[Path, Path], Path]:
    def write(folder: Path, canary: Path) -> Path:
        make(canary).save(folder / "m.h5", save_format="h5")
        return folder / "m.h5"

    return write


def lambda_in_keras2(folder: Path, canary: Path) -> Path:
    with_lambda(canary).save(folder / "m.keras")
    return folder / "m.keras"


def lambda_in_keras3(folder: Path, canary: Path) -> Path:
    evil_layer = keras.layers.Lambda(sing(canary), name="evil")
    keras.Sequential([keras.Input((5, 4)), evil_layer]).save(folder / "m.keras")
    return folder / "m.keras"


def lambda_in_saved_model(folder: Path, canary: Path) -> Path:
    with_lambda(canary).save(folder / "m", save_format="tf")
    return folder / "m"


def lambda_in_zipped_saved_model(folder: Path, canary: Path) -> Path:
    made = lambda_in_saved_model(folder, canary)
    with zipfile.ZipFile(folder / "m.zip", "w") as archive:
        for path in made.rglob("*"):
            archive.write(path, f"model/{path.relative_to(made)}")
    return folder / "m.zip"


def system_in_h5(folder: Path, canary: Path) -> Path:
    path = folder / "m.h5"
    plain().save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}
        config["config"]["layers"][1]["config"]["command"] = f"touch {canary}"
        file.attrs["model_config"] = json.dumps(config)
    return path


def system_in_keras3(folder: Path, canary: Path) -> Path:
    path = folder / "m.keras"
    keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3)]).save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    config["config"]["layers"][1] = {
        "module": "os",
        "class_name": "system",
        "config": {"command": f"touch {canary}"},
        "registered_name": "system",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (contents | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    return path
