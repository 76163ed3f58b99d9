"""Validate a model file before TensorFlow is even imported: its format, its Keras, its contents.

A model file is a program from an unknown source. It is read as data here, with only the standard
library, h5py and protobuf: the JSON configuration, HDF5's metadata, the archive's directory, a
SavedModel's graph. Something that could run code is a danger, which only ``model.trust`` allows;
something that could exhaust the machine or access other files is always refused.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from job.artifact import KerasFormat
from job.errors import InputError
from job.safety import saved_model
from job.safety.archive import COPY_AGAIN, SAVE_AGAIN, Archive, corrupt, is_archive, judge_entries
from job.safety.config import (
    Danger,
    find_dangers,
    read_config,
    refuse_text,
    without_compile_configs,
)
from job.safety.hdf5 import judge_hdf5

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
METADATA = "metadata.json"
VERSION = re.compile(r"[23]\.[0-9][0-9A-Za-z.+-]{0,30}")


@dataclass(frozen=True)
class Judged:
    """A validated model file, which may be loaded once its dangers are handled."""

    path: Path
    where: str
    """Its name in messages."""
    format: KerasFormat
    keras_version: str
    config: dict[str, Any]
    """The model's configuration, as data."""
    weight_bytes: int
    """The size of the weights in memory, including an optimizer's."""
    optimizer_bytes: int
    """The size of an optimizer's state in the file; of a SavedModel, see ``saved_model``."""
    dangers: tuple[Danger, ...]
    archive: Archive | None
    """Its archive or folder; None for HDF5."""

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.keras_version.startswith("3.")

    @property
    def contents(self) -> Archive:
        """The archive or folder of a .keras file or a SavedModel."""
        assert self.archive is not None  # only HDF5 has none
        return self.archive


def judge(path: Path, where: str = "") -> Judged:
    """Validate a model file, or a folder.

    Args:
        path: The file. Weights in an archive are extracted into a temporary folder for this.
        where: Its name in messages; by default its path.

    Raises:
        InputError: If it is missing, damaged, not a whole Keras model, or malicious.
    """
    where = where or str(path)
    if not path.exists():
        raise InputError("There is no such file.", where=where, hint="Check model.uri.")
    hdf5 = path.is_file() and bool(h5py.is_hdf5(path))
    if hdf5 and zipfile.is_zipfile(path):
        raise InputError(
            "The model file is an HDF5 file and a zip archive at once: one of them hides there.",
            where=where,
            hint=SAVE_AGAIN,
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
    """Name the format of a file that begins as a known one and is not a model."""
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
            hint=COPY_AGAIN,
        )


def refuse_dangers(judged: Judged) -> None:
    """Refuse a model that could run code.

    Raises:
        InputError: With every danger.
    """
    if not judged.dangers:
        return
    layers = ", ".join(dict.fromkeys(it.layer for it in judged.dangers))
    what = judged.dangers[0].what
    if len(judged.dangers) > 1:
        title = "The model could run code:"
        if all(it.to_do for it in judged.dangers):
            title = "The model holds what can't be loaded:"
        what = "\n  ".join([title, *(f"layer {it.layer}: {it.what}" for it in judged.dangers)])
    raise InputError(what, where=f"{judged.where}, layer {layers}", hint=advice(judged))


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
    found = judge_hdf5(path, where)
    if "model_config" not in found.attributes:
        raise InputError(
            "The model file holds weights only: there is no model_config in it.",
            where=where,
            hint="Save the whole model: model.save('model.h5'), not model.save_weights(...).",
        )
    version = found.attributes.get("keras_version", "1")
    config = read_config(found.attributes["model_config"], where)
    dangers = tuple(find_dangers(config, where))
    sizes = found.bytes, found.optimizer_bytes
    return Judged(path, where, "h5", version, config, *sizes, dangers, None)


def _judge_archive(path: Path, where: str) -> Judged:
    archive = judge_entries(path, where)
    is_keras = CONFIG in archive.sizes and zipfile.is_zipfile(path)
    is_saved_model = saved_model.root(archive) is not None
    if is_keras and is_saved_model:
        raise InputError(
            "The archive is a .keras file and a SavedModel at once: one of them hides there.",
            where=where,
            hint=SAVE_AGAIN,
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
    path, where = archive.path, archive.where
    try:
        version = str(json.loads(archive.read(METADATA))["keras_version"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise corrupt(f"its {METADATA} is damaged ({error!s:.200})", where) from None
    config = read_config(archive.read(CONFIG).decode(errors="replace"), where)
    if WEIGHTS not in archive.sizes:
        raise InputError(
            f"The model file holds no weights: there is no {WEIGHTS} in it.",
            where=where,
            hint=SAVE_AGAIN,
        )
    config = without_compile_configs(config, where)
    with tempfile.TemporaryDirectory() as folder:  # Keras also reads weights of other names
        found = judge_hdf5(archive.unpack(WEIGHTS, Path(folder)), where)
    dangers = tuple(find_dangers(config, where))
    sizes = found.bytes, found.optimizer_bytes
    return Judged(path, where, "keras", version, config, *sizes, dangers, archive)


def _judge_saved_model(archive: Archive) -> Judged:
    path, where = archive.path, archive.where
    found = saved_model.read(archive)
    config = without_compile_configs(found.config, where)
    dangers = (*find_dangers(config, where), *found.dangers)
    sizes = found.weight_bytes, 0
    return Judged(path, where, "saved_model", found.keras_version, config, *sizes, dangers, archive)
