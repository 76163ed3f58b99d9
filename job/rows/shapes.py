"""The sizes of the model's inputs that it leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from job.errors import InputError
from job.result.specs import TensorSpec, fits
from job.rows.data import Dataset
from job.rows.validation import refuse_unknown


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
    refuse_unknown(given, specs, "input", "model.input_shapes")
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
        for which, split in dataset.splits:
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
