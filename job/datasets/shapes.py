"""The sizes of dimensions that the model leaves open: in a ``.tflite`` they are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from job.datasets.data import Dataset
from job.errors import InputError
from job.result import TensorSpec, fits


def fix_shapes(
    dataset: Dataset, specs: Sequence[TensorSpec], given: Mapping[str, Sequence[int]]
) -> tuple[list[TensorSpec], list[str]]:
    """Set open dimensions from the manifest, or else from the data.

    Args:
        dataset: The arrays, which fit the model.
        specs: The model's inputs, in its order.
        given: The manifest's ``model.input_shapes``.

    Returns:
        The inputs without open dimensions, and the decisions, as messages.

    Raises:
        InputError: Where the manifest, the model and the data contradict each other.
    """
    unknown = [name for name in given if name not in [spec.name for spec in specs]]
    if unknown:
        raise InputError(
            f"The model has no input {', '.join(unknown)}; its inputs: "
            f"{', '.join(spec.name for spec in specs)}.",
            where="model.input_shapes",
            hint="Name one of these.",
        )
    fixed, decided = [], []
    for index, spec in enumerate(specs):
        rows = dataset.train.inputs[index].shape[1:]
        source = f"model.input_shapes ({spec.name})"
        shape = tuple(given.get(spec.name, rows))
        if not fits(spec.shape, shape):
            raise InputError(
                f"{source} is {shape}, the model takes {spec.shape}, where None is any size.",
                where="model.input_shapes",
                hint="Only dimensions that the model leaves open can be chosen.",
            )
        if spec.name not in given:
            source = "the data"
        for which, split in (("train", dataset.train), ("test", dataset.test)):
            if split.inputs[index].shape[1:] != shape:
                raise InputError(
                    f"The array's rows have the shape {split.inputs[index].shape[1:]}, and "
                    f"{spec.name} is taken as {shape}, from {source}.",
                    where=f"dataset.{which}.inputs ({spec.name})",
                    hint="Give all rows one shape, and model.input_shapes the same.",
                )
        if None in spec.shape:
            decided.append(f"{spec.name}: {spec.shape} is taken as {shape}, from {source}")
        fixed.append(replace(spec, shape=shape))
    return fixed, decided
