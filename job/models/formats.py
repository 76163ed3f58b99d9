"""Models of Keras 2 in each file format, and ``.keras`` files of either Keras.

Files are read as they were validated, and written reproducibly: a model gives the same bytes.

``tf_keras.models.load_model`` restores a SavedModel by running its graph, with any operators in it.
The configuration and the variables are sufficient, so it is rebuilt from these. When one is saved,
TensorFlow appends to the names of functions a counter of everything that the process has made, and
writes the functions in an order that depends on the names. A resumed job has made less before; so
the functions are renumbered, in the order in which they were made.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf
import tf_keras
from google.protobuf.message import Message
from tensorflow.core.protobuf import saved_model_pb2

from job.artifact import KerasFormat
from job.errors import InputError
from job.safety.archive import GRAPH, SAVE_AGAIN, pack
from job.safety.judge import CONFIG, METADATA, WEIGHTS, Judged
from job.safety.saved_model import variable_files, variables

ASSETS = "assets/"
# Keras 2 lacks these in its list of layers, so it can't load what it has saved.
UNLISTED = {"SpectralNormalization": tf_keras.layers.SpectralNormalization}
# A gradient's name also has the number of its function.
COUNTED = re.compile(r"(__inference___backward_.*?_|.*_)(?:\d+_)?(\d+)")
# Recurrent layers give their two implementations a random identifier.
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# An attribute of a function's argument; for one without a name, also a counter.
ARGUMENT = "_user_specified_name"
# Longer strings are contents, not names.
MAX_NAME = 1000
Rename = Callable[[str], str]


def load_keras2(judged: Judged, *, trust: bool) -> tf_keras.Model:
    """Load a validated file, without its compile settings; ``trust`` allows its code to run."""
    match judged.format:
        case "h5":
            return load_h5(judged.path)
        case "saved_model":
            return load_saved_model(judged)
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
            save_saved_model(model, path)
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


def load_saved_model(judged: Judged) -> tf_keras.Model:
    """Rebuild the model of a validated SavedModel, with its variables.

    Raises:
        InputError: If variables of the model are not in the file.
    """
    archive = judged.contents
    model = tf_keras.models.model_from_json(json.dumps(judged.config))
    if not model.built:
        return model
    with tempfile.TemporaryDirectory() as scratch:
        for name in variable_files(archive):
            archive.unpack(name, Path(scratch))
        try:
            model.load_weights(Path(scratch) / variables(archive)).assert_existing_objects_matched()
        except AssertionError as error:
            raise InputError(
                f"Variables of the model are not in the SavedModel: {str(error)[:200]}",
                where=judged.where,
                hint=SAVE_AGAIN,
            ) from None
    return model


def optimizer_bytes(judged: Judged) -> int:
    """The size of the optimizer's state among the variables of a validated SavedModel."""
    archive = judged.contents
    start = variables(archive)
    with tempfile.TemporaryDirectory() as scratch:
        archive.unpack(f"{start}.index", Path(scratch))
        reader = tf.train.load_checkpoint(f"{scratch}/{start}")
        dtypes = reader.get_variable_to_dtype_map()
        return sum(
            math.prod(shape) * dtypes[name].size
            for name, shape in reader.get_variable_to_shape_map().items()
            if name.startswith("optimizer/")
        )


def save_saved_model(model: tf_keras.Model, path: Path) -> None:
    """Save a model as a tar of a SavedModel, reproducibly.

    The graph has the signature ``serving_default``, and no traces of single layers, which take
    fifty times as long to write and are not needed to load the model. (A model with a metric of its
    own has them, since the graph can't be saved without the metric's variables.)
    """
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        given = tf.nest.pack_sequence_as(model.input, inputs)
        outputs = model(given, training=False)
        if isinstance(outputs, dict):
            return outputs
        return dict(zip(model.output_names, tf.nest.flatten(outputs), strict=True))

    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "model"
        model.save(
            written,
            save_format="tf",
            include_optimizer=False,
            save_traces=any(type(it).__name__ == "AddMetric" for it in model.layers),
            signatures={"serving_default": serve},
        )
        (written / "fingerprint.pb").unlink(missing_ok=True)  # it holds a random number
        _make_reproducible(written / GRAPH)
        with path.open("wb") as file:
            pack(written, file, path.name)


def _make_reproducible(path: Path) -> None:
    """Number the functions of a SavedModel from 0 on, and write it in a fixed order."""
    content = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in content.meta_graphs:
        library = graph.graph_def.library
        ordered = sorted(library.function, key=lambda made: _parts(made.signature.name)[::-1])
        names = {
            it.signature.name: f"{_parts(it.signature.name)[0]}{index}"
            for index, it in enumerate(ordered)
        }
        del library.function[:]
        library.function.extend(ordered)
        for function in library.function:
            for index, argument in function.arg_attr.items():
                if argument.attr[ARGUMENT].s.isdigit():
                    argument.attr[ARGUMENT].s = str(index).encode()
        _rename(graph, _renaming(names))
    path.write_bytes(content.SerializeToString(deterministic=True))


def _parts(name: str) -> tuple[str, int]:
    """A function's name without its number, and the number."""
    found = COUNTED.fullmatch(name)
    return (found[1], int(found[2])) if found else (f"{name}_", -1)


def _renaming(names: dict[str, str]) -> Rename:
    """A function that replaces names, also inside other names, and random identifiers."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    any_name = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '$^'})(?!\\d)")
    seen: dict[str, str] = {}

    def rename(text: str) -> str:
        if len(text) > MAX_NAME:
            return text
        text = any_name.sub(lambda found: names[found[0]], text)
        return UUID.sub(lambda found: seen.setdefault(found[0], str(len(seen))), text)

    return rename


def _rename(message: Message, rename: Rename) -> None:
    """Rename in every string of a message, including keys of maps."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if isinstance(value, str):
                setattr(message, field.name, rename(value))
            else:
                value[:] = [rename(it) for it in value]
        elif field.type == field.TYPE_BYTES and isinstance(value, bytes):
            if value.isascii():
                setattr(message, field.name, rename(value.decode()).encode())
        elif field.type != field.TYPE_MESSAGE:
            continue
        elif isinstance(value, Message):
            _rename(value, rename)
        elif field.message_type.GetOptions().map_entry:
            _rename_in_map(value, rename)
        else:
            for it in value:
                _rename(it, rename)


def _rename_in_map(entries: Any, rename: Rename) -> None:
    for key in sorted(entries):
        if not isinstance(entries[key], Message):
            continue
        _rename(entries[key], rename)
        new = rename(key) if isinstance(key, str) else key
        if new != key:
            entries[new].CopyFrom(entries[key])
            del entries[key]
