"""Models of Keras 2 in each file format, and ``.keras`` files of either Keras.

Files are read as they were validated, and written reproducibly: a model gives the same bytes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py
import tf_keras

from job.artifact import KerasFormat
from job.models import saved_model
from job.safety.judge import CONFIG, METADATA, WEIGHTS, Judged

ASSETS = "assets/"
# Keras 2 lacks these in its list of layers, so it can't load what it has saved.
UNLISTED = {"SpectralNormalization": tf_keras.layers.SpectralNormalization}


def load_keras2(judged: Judged, *, trust: bool) -> tf_keras.Model:
    """Load a validated file, without its compile settings; ``trust`` allows its code to run."""
    match judged.format:
        case "h5":
            return load_h5(judged.path)
        case "saved_model":
            return saved_model.load(judged)
        case "keras":
            with tempfile.TemporaryDirectory() as scratch:
                path = write_judged(judged, Path(scratch))
                return tf_keras.models.load_model(path, compile=False, safe_mode=not trust)


def load_h5(path: Path) -> tf_keras.Model:
    """Load a validated HDF5 file."""
    with h5py.File(path, "r") as file:  # given a path, Keras might detect another format
        return tf_keras.models.load_model(file, custom_objects=UNLISTED, compile=False)


def save_keras2(model: tf_keras.Model, kind: KerasFormat, path: Path) -> None:
    """Save a model without an optimizer's state."""
    match kind:
        case "h5":
            model.save(path, include_optimizer=False, save_format="h5")
        case "saved_model":
            saved_model.save(model, path)
        case "keras":
            model.save(path)  # it is not compiled, so it has no optimizer


def write_judged(judged: Judged, folder: Path) -> Path:
    """Write a ``.keras`` file with nothing but the validated contents, for Keras to read.

    Its configuration is the validated one, without the compile settings.
    """
    archive = judged.contents
    target = folder / "model.keras"
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr(CONFIG, json.dumps(judged.config))
        packed.writestr(METADATA, archive.read(METADATA))
        for name in archive.sizes:
            if name == WEIGHTS or name.startswith(ASSETS):
                content = archive.unpack(name, folder)
                packed.write(content, name)
                content.unlink()
    return target


def repack(path: Path) -> None:
    """Rewrite a ``.keras`` file with sorted entries, and without the times that Keras adds."""
    repacked = path.with_name(path.name + ".new")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(repacked, "w") as after:
        for old in sorted(before.infolist(), key=lambda entry: entry.filename):
            new = zipfile.ZipInfo(old.filename, date_time=(1980, 1, 1, 0, 0, 0))
            new.external_attr = 0o644 << 16
            if old.filename == METADATA:
                metadata = json.loads(before.read(old)) | {"date_saved": "1980-01-01@00:00:00"}
                after.writestr(new, json.dumps(metadata))
                continue
            new.file_size = old.file_size  # it decides whether the entry needs the large format
            with before.open(old) as content, after.open(new, "w") as target:
                shutil.copyfileobj(content, target, 1 << 20)
    repacked.replace(path)
