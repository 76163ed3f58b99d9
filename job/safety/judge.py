"""Judge a model file before TensorFlow is even imported: what it is, who wrote it, what it holds.

A model file is somebody's program. It is read as data here, with nothing but the standard library,
h5py and protobuf: the JSON configuration, HDF5's metadata, the archive's directory, a SavedModel's
graph. What could run code is a danger, which only ``model.trust`` lets in; what could exhaust the
machine or reach out of the file is refused whatever the manifest says.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py

from job.errors import InputError
from job.safety import saved_model
from job.safety.archive import Archive, is_archive, judge_entries
from job.safety.config import Danger, find_dangers, read_config, without_compile_configs
from job.safety.hdf5 import judge_hdf5
from job.safety.text_inputs import refuse_text

Format = Literal["h5", "keras", "saved_model"]

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
METADATA = "metadata.json"
VERSION = re.compile(r"[23]\.[0-9][0-9A-Za-z.+-]{0,30}")


@dataclass(frozen=True)
class Judged:
    """A model file that may be loaded, once its dangers are looked at."""

    path: Path
    where: str
    """What it is called in messages."""
    format: Format
    keras_version: str
    config: dict[str, Any]
    """The model's configuration, as data."""
    weight_bytes: int
    """What the weights are in memory, with an optimizer's."""
    optimizer_bytes: int
    """What an optimizer's state takes of the file; of a SavedModel, see ``saved_model``."""
    dangers: tuple[Danger, ...]
    archive: Archive | None
    """What it is packed in; None for HDF5."""

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.keras_version.startswith("3.")


def judge(path: Path, where: str = "") -> Judged:
    """Judge a model file, or a folder.

    Args:
        path: The file. Weights in an archive are unpacked into a temporary folder to be looked at.
        where: What it is called in messages; its path where left out.

    Raises:
        InputError: Where it is missing, damaged, no whole Keras model, or made to do harm.
    """
    where = where or str(path)
    if not path.exists():
        raise InputError("There is no such file.", where=where, hint="Check model.uri.")
    hdf5 = path.is_file() and bool(h5py.is_hdf5(path))
    if hdf5 and zipfile.is_zipfile(path):
        raise InputError(
            "The model file is an HDF5 file and a zip archive at once: one of them hides there.",
            where=where,
            hint="Load the model where it was trained, and save it again.",
        )
    if not hdf5:
        _refuse_other_kinds(path, where)
    archived = not hdf5 and is_archive(path)
    judged = _judge_archive(path, where) if archived else _judge_h5(path, where)
    if not VERSION.fullmatch(judged.keras_version):
        raise InputError(
            f"The model file was saved by Keras {judged.keras_version:.40}; Keras 2 and 3 are "
            "supported.",
            where=where,
            hint="Load it with TensorFlow 2, and save it again.",
        )
    if not judged.dangers:
        refuse_text(judged.config, where)
    return judged


def _refuse_other_kinds(path: Path, where: str) -> None:
    """Say what a file is that is no model, where it begins as something known."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        begins = file.read(8)
    if begins[4:] == b"TFL3":
        raise InputError(
            "The model file is a .tflite: it is converted already.",
            where=where,
            hint="Give the Keras model that it was made of.",
        )
    if begins.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        raise InputError(
            "The model file is truncated: it begins as a zip archive (a .keras file), and has no "
            "end.",
            where=where,
            hint="Copy it again, and pin its sha256 in the manifest.",
        )


def refuse_dangers(judged: Judged) -> None:
    """Raise where the model holds what could run code.

    Raises:
        InputError: With every danger.
    """
    if not judged.dangers:
        return
    layers = ", ".join(dict.fromkeys(it.layer for it in judged.dangers))
    what = [f"layer {it.layer}: {it.what}" for it in judged.dangers]
    if len(what) == 1:
        what = [judged.dangers[0].what]
    else:
        title = "The model could run code:"
        if all(it.to_do for it in judged.dangers):
            title = "The model holds what can't be loaded:"
        what.insert(0, title)
    raise InputError(
        "\n  ".join(what), where=f"{judged.where}, layer {layers}", hint=advice(judged)
    )


def advice(judged: Judged) -> str:
    """What to do about the dangers of a model."""
    if all(it.is_code for it in judged.dangers):
        return (
            "Use built-in layers instead (Rescaling, Reshape, ...) and save the model again. Or, "
            'if you know who made it: "trust": true with a pinned sha256, under model in the '
            "manifest, lets its code run."
        )
    known = dict.fromkeys(it.to_do for it in judged.dangers)
    if all(known):
        return " ".join(known)
    return (
        "Code of your own is not in the file: build the model of built-in layers with the "
        "functional API, copy the weights, and save it again."
    )


def _judge_h5(path: Path, where: str) -> Judged:
    contents = judge_hdf5(path, where)
    if "model_config" not in contents.attributes:
        raise InputError(
            "The model file holds weights only: there is no model_config in it.",
            where=where,
            hint="Save the whole model: model.save('model.h5'), not model.save_weights(...).",
        )
    config = read_config(contents.attributes["model_config"], where)
    return Judged(
        path=path,
        where=where,
        format="h5",
        keras_version=contents.attributes.get("keras_version", "1"),
        config=config,
        weight_bytes=contents.bytes,
        optimizer_bytes=contents.optimizer_bytes,
        dangers=tuple(find_dangers(config, where)),
        archive=None,
    )


def _judge_archive(path: Path, where: str) -> Judged:
    archive = judge_entries(path, where)
    is_keras = CONFIG in archive.sizes and zipfile.is_zipfile(path)
    is_saved_model = saved_model.root(archive) is not None
    if is_keras and is_saved_model:
        raise InputError(
            "The archive is a .keras file and a SavedModel at once: one of them hides there.",
            where=where,
            hint="Load the model where it was trained, and save it again.",
        )
    if is_keras:
        return _judge_keras(archive)
    if is_saved_model:
        return _judge_saved_model(archive)
    kind = "a folder" if path.is_dir() else "an archive"
    raise InputError(
        f"The model is {kind} without a Keras model in it: neither config.json nor "
        "saved_model.pb is there.",
        where=where,
        hint="Save the whole model: model.save('model.keras').",
    )


def _judge_keras(archive: Archive) -> Judged:
    where = archive.where
    try:
        version = json.loads(archive.read(METADATA))["keras_version"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"The model file is corrupt: its {METADATA} is damaged ({error!s:.200}).",
            where=where,
            hint="Load the model where it was trained, and save it again.",
        ) from None
    config = read_config(archive.read(CONFIG).decode(errors="replace"), where)
    if WEIGHTS not in archive.sizes:
        raise InputError(
            f"The model file holds no weights: there is no {WEIGHTS} in it.",
            where=where,
            hint="Load the model where it was trained, and save it again.",
        )
    config = without_compile_configs(config, where)
    with tempfile.TemporaryDirectory() as folder:  # Keras reads weights of other names, too
        contents = judge_hdf5(archive.unpack(WEIGHTS, Path(folder)), where)
    return Judged(
        path=archive.path,
        where=where,
        format="keras",
        keras_version=str(version),
        config=config,
        weight_bytes=contents.bytes,
        optimizer_bytes=contents.optimizer_bytes,
        dangers=tuple(find_dangers(config, where)),
        archive=archive,
    )


def _judge_saved_model(archive: Archive) -> Judged:
    found = saved_model.read(archive)
    config = without_compile_configs(found.config, archive.where)
    dangers = [*find_dangers(config, archive.where), *found.dangers]
    return Judged(
        path=archive.path,
        where=archive.where,
        format="saved_model",
        keras_version=found.keras_version,
        config=config,
        weight_bytes=found.weight_bytes,
        optimizer_bytes=0,
        dangers=tuple(dangers),
        archive=archive,
    )
