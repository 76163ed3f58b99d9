"""Keras SavedModels: the model is made anew from its configuration, and its graph is never run.

``tf_keras.models.load_model`` restores a SavedModel by running its graph, and whatever operators
are in it. The configuration and the variables are all that is needed.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2

from job.errors import InputError
from job.models.canonical import number_anew
from job.safety import folder
from job.safety.judge import Judged
from job.safety.saved_model import GRAPH, VARIABLES, root, variable_files


def load(judged: Judged) -> tf_keras.Model:
    """Make the model that a judged SavedModel describes, and give it its variables.

    Raises:
        InputError: Where variables of the model are not in the file.
    """
    archive = judged.archive
    assert archive is not None  # a SavedModel is a folder or an archive
    model = tf_keras.models.model_from_json(json.dumps(judged.config))
    if not model.built:
        return model
    with tempfile.TemporaryDirectory() as scratch:
        for name in variable_files(archive):
            archive.unpack(name, Path(scratch))
        variables = Path(scratch) / ((root(archive) or "") + VARIABLES)
        try:
            model.load_weights(variables).assert_existing_objects_matched()
        except AssertionError as error:
            raise InputError(
                f"Variables of the model are not in the SavedModel: {str(error)[:200]}",
                where=judged.where,
                hint="Load the model where it was trained, and save it again.",
            ) from None
    return model


def optimizer_bytes(judged: Judged) -> int:
    """The bytes of the optimizer's state among the variables of a judged SavedModel."""
    archive = judged.archive
    assert archive is not None  # a SavedModel is a folder or an archive
    variables = (root(archive) or "") + VARIABLES
    with tempfile.TemporaryDirectory() as scratch:
        archive.unpack(f"{variables}.index", Path(scratch))
        reader = tf.train.load_checkpoint(f"{scratch}/{variables}")
        dtypes = reader.get_variable_to_dtype_map()
        return sum(
            math.prod(shape) * dtypes[name].size
            for name, shape in reader.get_variable_to_shape_map().items()
            if name.startswith("optimizer/")
        )


def save(model: tf_keras.Model, path: Path) -> None:
    """Save a model as a tar of a SavedModel, the same bytes each time.

    The graph has the signature ``serving_default``, and not the traces of single layers, which
    take fifty times as long to write and are not needed to load the model again. (But for a model
    with a metric of its own, whose variables the graph could not be saved with otherwise.)

    Args:
        model: A model with a graph.
        path: Where the tar goes.
    """
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        given = tf.nest.pack_sequence_as(model.input, inputs)
        answers = model(given, training=False)
        if isinstance(answers, dict):
            return answers
        return dict(zip(model.output_names, tf.nest.flatten(answers), strict=True))

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
        _write_anew(written / GRAPH)
        with path.open("wb") as file:
            folder.pack(written, file, path.name)


def _write_anew(path: Path) -> None:
    """Protobuf writes the entries of a map in any order, unless it is told otherwise."""
    content = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    number_anew(content)
    path.write_bytes(content.SerializeToString(deterministic=True))
