"""Check, before training, that a data set fits the model, and fix the sizes that it leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from job.datasets.data import PART_BYTES, Array, Dataset, Split
from job.errors import InputError
from job.manifest.keras_names import BINARY, HINGES, ROWS_OF_CLASSES
from job.result import TensorSpec, fits

# float64 and int64; TensorFlow has no longer types.
MAX_ITEM_BYTES = 8
# Loss -> the range of targets that it is defined for.
RANGES = {
    **dict.fromkeys(BINARY, (0, 1)),
    **dict.fromkeys(HINGES, (-1, 1)),
    **dict.fromkeys(("poisson", "mean_squared_logarithmic_error"), (0, np.inf)),
}


def check_inputs(dataset: Dataset, specs: list[TensorSpec], *, scales: bool) -> list[str]:
    """Check the inputs of all splits: kinds of numbers, shapes, NaN and infinity.

    Args:
        dataset: The arrays.
        specs: The model's inputs, in its order.
        scales: Whether the model scales its inputs itself.

    Returns:
        Warnings: what looks wrong and may be intended.

    Raises:
        InputError: With the array's place in the manifest, and its shape.
    """
    warnings = []
    for which, split, first_row in _splits(dataset):
        for spec, array in zip(specs, split.inputs, strict=True):
            where = f"dataset.{which}.inputs ({spec.name})"
            _check_numbers(array, where, first_row)
            _check_shape(array, spec, where)
            _check_flags(array, spec, where)
    pixels = [array for array in dataset.train.inputs if array.dtype == np.uint8]
    floats = [spec for spec in specs if spec.dtype.startswith("float")]
    unscaled = dataset.train.scale == 1 and not scales
    if unscaled and pixels and floats and max(int(it.max()) for it in pixels) > 1:
        warnings.append(
            "The inputs are bytes (0 to 255) and dataset.scale is 1. If the model was trained on "
            "0 to 1, set scale to 0.00392156862745098."
        )
    return warnings


def check_target_numbers(dataset: Dataset, outputs: Sequence[TensorSpec]) -> None:
    """Check that the targets of all splits are finite numbers, before their kind is inferred.

    Raises:
        InputError: With the place, and the offending value or dtype.
    """
    for which, split, first_row in _splits(dataset):
        for output, targets in zip(outputs, split.targets, strict=True):
            of = f" ({output.name})" if len(outputs) > 1 else ""
            _check_numbers(targets, f"dataset.{which}.targets{of}", first_row)


def check_targets(dataset: Dataset, outputs: Sequence[TensorSpec], losses: Sequence[str]) -> None:
    """Check the targets of all splits against the model's outputs and their losses.

    Args:
        dataset: The arrays.
        outputs: The model's outputs, in its order.
        losses: The loss of each, which determines how targets are written: as class indices,
            one-hot rows, or others.

    Raises:
        InputError: With the place, and the offending value or shape.
    """
    for which, split, first_row in _splits(dataset):
        for output, loss, targets in zip(outputs, losses, split.targets, strict=True):
            of = f" ({output.name})" if len(outputs) > 1 else ""
            where = f"dataset.{which}.targets{of}"
            _check_numbers(targets, where, first_row)
            if loss == "sparse_categorical_crossentropy":
                _check_labels(targets, output, where)
                continue
            _check_target_shape(targets, output, where)
            if loss in ROWS_OF_CLASSES:
                _check_one_hot(targets, output, loss, where)
            elif loss in RANGES:
                _check_range(targets, loss, where)


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


def _splits(dataset: Dataset) -> list[tuple[str, Split, int]]:
    """The name in the manifest, the rows, and the first row's index in the arrays of that name."""
    held_out = dataset.validation
    return [
        ("train", dataset.train, 0),
        *([("train", held_out, len(dataset.train))] if held_out else []),
        ("test", dataset.test, 0),
    ]


def _check_numbers(array: Array, where: str, first_row: int) -> None:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > MAX_ITEM_BYTES:
        raise InputError(
            f"The array holds {array.dtype} and no numbers of at most 64 bits.",
            where=where,
            hint="Convert it first.",
        )
    if array.dtype.kind != "f":
        return
    rows = max(1, PART_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        finite = np.isfinite(array[start : start + rows])
        if not finite.all():
            position = [int(index) for index in np.argwhere(~finite)[0]]
            value = array[(position[0] + start, *position[1:])]
            position[0] += start + first_row
            raise InputError(
                f"The array holds {value} at {position}.",
                where=where,
                hint="Clean the data: NaN and infinity make every weight NaN.",
            )


def _check_shape(array: Array, spec: TensorSpec, where: str) -> None:
    if not fits(spec.shape, array.shape[1:]):
        raise InputError(
            f"The array's rows have the shape {array.shape[1:]}, the model takes "
            f"{_shape(spec.shape)}.",
            where=where,
            hint="Reshape the data, or name another array.",
        )


def _check_flags(array: Array, spec: TensorSpec, where: str) -> None:
    """Numbers other than 0 and 1 would all count as true."""
    if spec.dtype != "bool" or array.dtype.kind == "b" or not array.size:
        return
    low, high = array.min(), array.max()
    if low < 0 or high > 1 or not bool(((array == 0) | (array == 1)).all()):
        raise InputError(
            f"The array goes from {low} to {high}; the model takes truth values.",
            where=where,
            hint="Give an array of bool, or of 0 and 1.",
        )


def _check_labels(targets: Array, output: TensorSpec, where: str) -> None:
    if targets.dtype.kind == "f" and not bool((targets == np.rint(targets)).all()):
        raise InputError(
            "The labels are fractions, not class indices.",
            where=where,
            hint="Name another array, or set training.loss.",
        )
    sizes = targets.shape[1:]
    if not (fits(output.shape[:-1], sizes) or fits((*output.shape[:-1], 1), sizes)):
        raise InputError(
            f"The targets' rows have the shape {sizes}; "
            "sparse_categorical_crossentropy takes one class index for each output of "
            f"{_shape(output.shape)}.",
            where=where,
            hint="Leave training.loss out, or set the loss that fits the targets.",
        )
    classes = output.shape[-1] or 0
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"The labels go from {low} to {high}, the model has {classes} classes: "
            f"0 to {classes - 1}.",
            where=where,
            hint=_hint_of_labels(low, high, classes),
        )


def _hint_of_labels(low: int, high: int, classes: int) -> str:
    if low == 1 and high == classes:
        return "They are numbered from 1: subtract 1."
    if low == -1 or (high == 255 and classes < 255):
        return (
            "Labels that mean no class (-1, or 255 in images) are not ignored: leave those rows "
            "out, or give them a separate class."
        )
    return "Number the classes from 0, or give the model that was trained on them."


def _check_range(targets: Array, loss: str, where: str) -> None:
    low, high = RANGES[loss]
    lowest, highest = float(targets.min()), float(targets.max())
    if lowest >= low and highest <= high:
        return
    wanted = f"from {low:g} to {high:g}" if high < np.inf else f"of at least {low:g}"
    raise InputError(
        f"The targets go from {lowest:g} to {highest:g}; {loss} needs targets {wanted}.",
        where=where,
        hint="Write two classes as 0 and 1 (hinge: -1 and 1), scale numbers, or name another loss.",
    )


def _check_one_hot(targets: Array, output: TensorSpec, loss: str, where: str) -> None:
    values = targets.astype(np.float64)
    sums = values.sum(axis=-1)
    if output.shape[-1] == 1 or (values < 0).any() or not np.allclose(sums, 1, atol=1e-3):
        raise InputError(
            f"{loss} needs rows that are one class each: several outputs, and targets that sum to "
            "1 in each row.",
            where=where,
            hint="For 0 and 1 (one output, or several at a time) use binary_crossentropy.",
        )


def _check_target_shape(targets: Array, output: TensorSpec, where: str) -> None:
    sizes = targets.shape[1:]
    if not (fits(output.shape, sizes) or fits(output.shape, (*sizes, 1))):  # gets the axis later
        raise InputError(
            f"The targets' rows have the shape {sizes}, the model answers with "
            f"{_shape(output.shape)}.",
            where=where,
            hint="Reshape the targets, name another array, or set training.loss.",
        )


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
