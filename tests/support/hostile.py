"""Model files that would do harm, made as an attacker would make them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras

from tests.support.hostile_code import (
    _h5,
    lambda_in_keras2,
    lambda_in_keras3,
    lambda_in_saved_model,
    lambda_in_zipped_saved_model,
    plain,
    system_in_h5,
    system_in_keras3,
    with_lambda,
    with_nested_lambda,
    with_wrapped_lambda,
)

layers = tf_keras.layers


def link_to_passwd(folder: Path, _: Path) -> Path:
    path = folder / "m.h5"
    plain().save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights/dense/dense/kernel:0"]
        file["model_weights/dense/dense/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/")
    return path


def bytes_of_passwd(folder: Path, _: Path) -> Path:
    """External storage: the weights are the bytes of another file."""
    path = folder / "m.h5"
    plain().save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights/dense/dense/kernel:0"]
        outside = [("/etc/passwd", 0, 48)]
        file.create_dataset("model_weights/dense/dense/kernel:0", (4, 3), "f4", external=outside)
    return path


def petabyte(folder: Path, _: Path) -> Path:
    path = folder / "m.h5"
    plain().save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights/dense/dense/kernel:0"]
        group = file["model_weights/dense/dense"]
        group.create_dataset("kernel:0", (1 << 25, 1 << 23), "f4", chunks=(1024, 1024))
    return path


def zip_bomb(folder: Path, __: Path) -> Path:
    """Two gigabytes of zeros in two megabytes."""
    path = folder / "m.keras"
    keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3)]).save(path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("assets/zeros", "w", force_zip64=True) as entry,
    ):
        for _ in range(2048):
            entry.write(bytes(1 << 20))
    return path


def tar_bomb(folder: Path, _: Path) -> Path:
    """A gzipped tar whose second file announces ten gigabytes of zeros."""
    path = folder / "m.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        small = tarfile.TarInfo("saved_model.pb")
        small.size = 1 << 20
        archive.addfile(small, io.BytesIO(bytes(small.size)))
        large = tarfile.TarInfo("variables/variables.data-00000-of-00001")
        large.size = 10 << 30
        archive.fileobj.write(large.tobuf())
        archive.fileobj.write(bytes(1 << 26))
    return path


def climbing_zip(folder: Path, canary: Path) -> Path:
    path = folder / "m.keras"
    keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3)]).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"../{canary.name}", "sung")
        archive.writestr(str(canary), "sung")
    return path


def climbing_tar(folder: Path, canary: Path) -> Path:
    """A link to the folder above, and a file that would go through it."""
    path = folder / "m.tar"
    plain().save(folder / "m", save_format="tf")
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "m", ".")
        link = tarfile.TarInfo("variables/up")
        link.type, link.linkname = tarfile.SYMTYPE, str(canary.parent)
        archive.addfile(link)
        through = tarfile.TarInfo(f"variables/up/{canary.name}")
        through.size = 4
        archive.addfile(through, io.BytesIO(b"sung"))
    return path


def linked_folder(folder: Path, _: Path) -> Path:
    path = folder / "m"
    plain().save(path, save_format="tf")
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "passwd").symlink_to("/etc/passwd")
    return path


def reading_saved_model(folder: Path, _: Path) -> Path:
    """Its signature sends /etc/passwd to whoever calls it, and is no part of the Keras model."""
    model = plain()

    @tf.function(input_signature=[tf.TensorSpec((None, 5, 4))])
    def serve(given: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"answer": model(given), "more": tf.io.read_file("/etc/passwd")}

    model.save(folder / "m", save_format="tf", signatures={"serving_default": serve})
    return folder / "m"


def writing_saved_model(folder: Path, canary: Path) -> Path:
    model = plain()

    @tf.function(input_signature=[tf.TensorSpec((None, 5, 4))])
    def serve(given: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.io.write_file(str(canary), "sung")]):
            return model(given)

    model.save(folder / "m", save_format="tf", signatures={"serving_default": serve})
    canary.unlink(missing_ok=True)
    return folder / "m"


def polyglot(folder: Path, _: Path) -> Path:
    """HDF5 for one reader, a zip archive for another."""
    path = folder / "m.keras"
    plain().save(folder / "m.h5", save_format="h5")
    keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3)]).save(folder / "k.keras")
    path.write_bytes((folder / "m.h5").read_bytes() + (folder / "k.keras").read_bytes())
    return path


def two_models_in_a_folder(folder: Path, canary: Path) -> Path:
    """A SavedModel with code in it, behind the files of a harmless .keras."""
    made = lambda_in_saved_model(folder, canary)
    plain().save(folder / "plain.keras")
    with zipfile.ZipFile(folder / "plain.keras") as archive:
        archive.extractall(made)  # noqa: S202 - it was just written
    return made


def _writing_layer(canary: Path) -> dict[str, Any]:
    """A layer that standardizes texts with a class of another name than it says, which writes."""
    node = {"name": "w", "op": "WriteFile", "input": ["a", "b"]}
    other = {
        "module": "tf_keras.src.engine.base_layer",
        "class_name": "Dense",
        "registered_name": "TensorFlowOpLayer",
        "config": {"name": "w", "node_def": node, "constants": {"1": "sung"}},
    }
    config = {"name": "texts", "standardize": other, "vocabulary": ["a"], "dtype": "string"}
    return {
        "module": "keras.layers",
        "class_name": "TextVectorization",
        "config": config | {"batch_input_shape": [None]},
        "inbound_nodes": [["_CONSTANT_VALUE", -1, str(canary), {}]],
        "name": "texts",
    }


def another_class_than_it_says(folder: Path, canary: Path) -> Path:
    path = folder / "m.keras"
    given = tf_keras.Input((5, 4), name="given")
    tf_keras.Model(given, layers.Dense(3)(given)).save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    config["config"]["layers"].append(_writing_layer(canary))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (contents | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    return path


def variables_that_are_hdf5(folder: Path, _: Path) -> Path:
    """Keras takes a file without an index for one of weights, and follows its external storage."""
    plain().save(folder / "m", save_format="tf")
    plain().save(folder / "m.h5", save_format="h5")
    for path in (folder / "m" / "variables").iterdir():
        path.unlink()
    with h5py.File(folder / "m.h5") as old, h5py.File(folder / "m/variables/variables", "w") as new:
        old.copy("model_weights", new)
        del new["model_weights/dense/dense/kernel:0"]
        outside = [("/etc/passwd", 0, 48)]
        new.create_dataset("model_weights/dense/dense/kernel:0", (4, 3), "f4", external=outside)
    return folder / "m"


def weights_of_another_kind(folder: Path, _: Path) -> Path:
    """Half a gigabyte of zeros in an .npz, which Keras 3 reads where there are no other weights."""
    path = folder / "m.keras"
    keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3)]).save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    zeros: Any = {"layers/dense": np.zeros(1 << 29, np.uint8)}
    np.savez_compressed(buffer, **zeros)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", contents["config.json"])
        archive.writestr("metadata.json", contents["metadata.json"])
        archive.writestr("model.weights.npz", buffer.getvalue())
    return path


def huge_header(folder: Path, __: Path) -> Path:
    """The header of a tar that announces four gigabytes of attributes, and has them."""
    path = folder / "m.tar.gz"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.tobuf(format=tarfile.GNU_FORMAT))
        for _ in range(256):
            file.write(bytes(1 << 22))
    return path


# What it is -> who makes it, and what the refusal says.
HOSTILE: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "Lambda in .h5": (_h5(with_lambda), "Lambda"),
    "Lambda in a nested model": (_h5(with_nested_lambda), "Lambda"),
    "Lambda in a TimeDistributed": (_h5(with_wrapped_lambda), "Lambda"),
    "Lambda in a Keras 2 .keras": (lambda_in_keras2, "Lambda"),
    "Lambda in a Keras 3 .keras": (lambda_in_keras3, "Lambda"),
    "Lambda in a SavedModel": (lambda_in_saved_model, "Lambda"),
    "Lambda in a zipped SavedModel": (lambda_in_zipped_saved_model, "Lambda"),
    "os.system in .h5": (system_in_h5, "'os'"),
    "os.system in .keras": (system_in_keras3, "'os'"),
    "external link to /etc/passwd": (link_to_passwd, "links to other places"),
    "external storage in /etc/passwd": (bytes_of_passwd, "from other files"),
    "a petabyte declared": (petabyte, "declares"),
    "zip bomb": (zip_bomb, "unpacks"),
    "tar bomb": (tar_bomb, "unpacks"),
    "../ in a zip": (climbing_zip, "leads out of it"),
    "a link in a tar": (climbing_tar, "is a link"),
    "a link in a folder": (linked_folder, "is a link"),
    "ReadFile in a SavedModel": (reading_saved_model, "ReadFile"),
    "WriteFile in a SavedModel": (writing_saved_model, "WriteFile"),
    "a polyglot": (polyglot, "at once"),
    "two models in a folder": (two_models_in_a_folder, "Lambda"),
    "another class than it says": (another_class_than_it_says, "to standardize texts"),
    "HDF5 for variables": (variables_that_are_hdf5, "no variables/variables.index"),
    "weights of another kind": (weights_of_another_kind, "model.weights.h5"),
    "a huge header of a tar": (huge_header, "no readable HDF5"),
}
