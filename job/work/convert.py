"""Whether a model becomes ``.tflite`` files that run: known when it has been done.

The converter makes files that the interpreter can't run (with more than one row, or at all), and
what it can't convert shows only at the end of a job. So every variant is tried on the model as it
came, before hours are spent on training it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tf_keras

from job.errors import StageError
from job.manifest.outputs import Float32Config, QuantizeConfig
from job.metrics import litert, promises
from job.models.layers import layers_of
from job.models.random_layers import is_random
from job.result import TensorSpec
from job.stages.quantize import Calibration, is_recurrent, prepare, quantize

# Layers that every variant converts, with any number of rows: models of nothing else are not tried.
CERTAIN = frozenset(
    """
    InputLayer Dense Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D
    GlobalAveragePooling2D GlobalMaxPooling2D Flatten Reshape Dropout BatchNormalization
    ReLU Softmax Add Concatenate ZeroPadding2D Rescaling
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)


@dataclass(frozen=True)
class Conversion:
    """How a model is converted."""

    inputs: Sequence[TensorSpec]
    """The model's inputs, without open dimensions."""
    outputs: Sequence[TensorSpec]
    one_row: bool
    """Whether the files take one row at a time."""
    decided: Sequence[str] = ()
    """What was fixed, in words."""

    def prepared(self, model: tf_keras.Model) -> tf_keras.Model:
        """The model to convert."""
        return prepare(model, self.inputs, self.outputs, one_row=self.one_row)[0]


def plan(
    model: tf_keras.Model,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    rows: Calibration,
) -> Conversion:
    """Decide how many rows the files take at a time: as many as run.

    Args:
        model: The model as it came.
        inputs: Its inputs, with the sizes that open dimensions get.
        outputs: Its outputs.
        rows: Two rows of data, or more.
    """
    _, decided = prepare(model, inputs, outputs)
    found = Conversion(inputs, outputs, one_row=is_recurrent(model), decided=decided)
    if found.one_row or is_certain(model):
        return found
    try:
        attempt(model, found, Float32Config(type="float32"), rows)
    except StageError as error:
        _, decided = prepare(model, inputs, outputs, one_row=True)
        return Conversion(inputs, outputs, True, [*decided, f"several rows: {error.what}"])
    return found


def attempt(
    model: tf_keras.Model, how: Conversion, variant: QuantizeConfig, rows: Calibration
) -> list[str]:
    """Convert a model, check the file and run it, and leave nothing behind.

    Args:
        model: The model.
        how: How it is converted.
        variant: To what.
        rows: Some rows: what is calibrated with, and run.

    Returns:
        What the user should know of such a file.

    Raises:
        StageError: Where it can't be converted, breaks its promise, or does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{variant.name or variant.type}.tflite"
        quantize(how.prepared(model), variant, rows, path)
        notes = promises.check(variant, path, *litert.describe_file(path))
        names = [it.name for it in how.inputs], [it.name for it in how.outputs]
        try:
            litert.predictor(path, *names, threads=1)(rows)
        except (RuntimeError, ValueError) as error:
            raise StageError(
                f"The file that the converter makes does not run: {str(error).strip()[:200]}",
                where=f"quantize, {path.name}",
                hint="Leave this variant out, or replace the layer.",
            ) from None
        return notes


def is_certain(model: tf_keras.Model) -> bool:
    """Whether every variant is known to convert the model."""
    kinds = {type(layer).__name__ for _, layer in layers_of(model)}
    is_open = any(None in tuple(it.shape[1:]) for it in model.inputs)
    return kinds <= CERTAIN and not is_open and not is_random(model)
