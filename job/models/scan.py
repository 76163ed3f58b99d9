"""Judge a model file before anything of it is deserialized: a model is somebody's program.

``tf_keras.models.load_model`` runs code that a file carries (``Lambda`` layers) and imports what
a file names. So the configuration is read as data first, and refused unless every class in it is
a built-in layer that carries no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tf_keras

from job.errors import InputError

# Built-in layers that carry code, or call functions by name.
CARRY_CODE = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "ClassMethod"})
CONTAINERS = frozenset({"Sequential", "Functional", "Model"})


def scan_h5(path: Path) -> dict[str, Any]:
    """Read and judge the configuration of a whole-model HDF5 file.

    Returns:
        The model's configuration, as Keras wrote it.

    Raises:
        InputError: Where the file is no whole model, or holds what could run code.
    """
    attributes = _attributes(path)
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
    try:
        config = json.loads(attributes["model_config"])
    except ValueError as error:
        raise InputError(
            f"The model file is corrupt: its model_config is no JSON ({error}).", where=str(path)
        ) from None
    for place, class_name in _classes(config, "model"):
        _judge(place, class_name, path)
    return dict(config)


def _attributes(path: Path) -> dict[str, str]:
    try:
        with h5py.File(path, "r") as file:
            return {
                name: value.decode() if isinstance(value, bytes) else str(value)
                for name, value in file.attrs.items()
                if name in ("model_config", "keras_version", "backend")
            }
    except OSError as error:
        reason = str(error)
        if "truncated" in reason:
            raise InputError(
                "The model file is truncated: it ends before the data that it announces.",
                where=str(path),
                hint="Copy it again, and pin its sha256 in the manifest.",
            ) from None
        raise InputError(
            "The model file is no readable HDF5 file.",
            where=str(path),
            hint="Give a whole Keras 2 model, saved with model.save('model.h5').",
        ) from None
    except (ValueError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"The model file is corrupt: {error}.", where=str(path)) from None


def _classes(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every layer class that the configuration names, with the layer's place."""
    if isinstance(node, dict):
        config = node.get("config")
        if isinstance(node.get("class_name"), str) and isinstance(config, dict):
            inner = config.get("name", node.get("name"))
            place = f"{place}/{inner}" if inner else place
            if "layers" in config or inner:
                yield place, node["class_name"]
        for value in node.values():
            yield from _classes(value, place)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value, place)


def _judge(place: str, class_name: str, path: Path) -> None:
    where = f"{path}, layer {place}"
    if class_name in CARRY_CODE:
        raise InputError(
            f"The model holds a {class_name} layer, which is code that would run here.",
            where=where,
            hint="Replace it with a built-in layer (Rescaling, Reshape, ...) and save it again.",
        )
    known = getattr(tf_keras.layers, class_name, None)
    if class_name not in CONTAINERS and not isinstance(known, type):
        raise InputError(
            f"The model holds a layer of the class {class_name}, which is not built into Keras.",
            where=where,
            hint="Rebuild the model of built-in layers; custom classes are not loaded.",
        )
