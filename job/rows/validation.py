"""Check, before training, that a data set fits the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from job.errors import InputError
from job.manifest.keras_names import BINARY, HINGES, ROWS_OF_CLASSES
from job.result.specs import TensorSpec, fits
from job.rows.data import Dataset, Split
from job.rows.lazy import Array, Rows, parts

# float64 and int64; TensorFlow has no longer types.
MAX_ITEM_BYTES = 8
# Loss -> the range of targets that it is defined for.
RANGES = {
    **dict.fromkeys(BINARY, (0, 1)),
    **dict.fromkeys(HINGES, (-1, 1)),
    **dict.fromkeys(("poisson", "mean_squared_logarithmic_error"), (0, np.inf)),
}


def refuse_unknown(
    names: Iterable[str], specs: Sequence[TensorSpec], kind: str, where: str
) -> None:
    """Refuse names that are not those of the model.

    Args:
        names: What the manifest has.
        specs: The model's inputs or outputs.
        kind: ``input`` or ``output``.
        where: The place in the manifest.

    Raises:
        InputError: With the unknown names, and those of the model.
    """
    known = [spec.name for spec in specs]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InputError(
            f"The model has no {kind} {', '.join(unknown)}; its {kind}s: {', '.join(known)}.",
            where=where,
            hint="Name one of these.",
        )


def check_rows(
    which: str, split: Split, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Check a split as its files have it, before rows are held out, so that errors name its rows:
    kinds of numbers, shapes, NaN and infinity, and the weights of rows.

    What targets mean is not known yet; see ``check_targets``.

    Args:
        which: The split's name in the manifest.
        split: The rows.
        inputs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.

    Raises:
        InputError: With the array's place in the manifest, and the offending value or shape.
    """
    for spec, rows, one in zip(inputs, split.inputs, split.each_normalization, strict=True):
        where = f"dataset.{which}.inputs ({spec.name})"
        _check_dtype(rows, where)
        _check_shape(rows, spec, where)
        for first_row, part in parts(rows):  # lazy rows are read once
            _check_finite(part, where, first_row)
            _check_flags(part, spec, where)
            if one is None:  # else the model is given floats
                _check_integers(part, spec, where)
    for output, targets in zip(outputs, split.targets, strict=bool(split.targets)):
        where = _target_place(which, output, outputs)
        _check_dtype(targets, where)
        for first_row, part in parts(targets):
            _check_finite(part, where, first_row)
    for weights in split.weights:
        if weights is not None:
            _check_weights(weights, len(split), f"dataset.{which}.weights")


def unscaled_bytes(train: Split, specs: Sequence[TensorSpec], *, scales: bool) -> list[str]:
    """A warning where bytes go to a model that takes floats, and nothing scales them.

    Args:
        train: The training rows.
        specs: The model's inputs, in its order.
        scales: Whether the model scales its inputs itself.
    """
    if train.scale != 1 or scales or not any(it.dtype.startswith("float") for it in specs):
        return []
    paired = zip(train.inputs, train.each_normalization, strict=True)
    plain = [rows for rows, one in paired if one is None and rows.dtype == np.uint8]
    if not any(part.max() > 1 for rows in plain for _, part in parts(rows) if part.size):
        return []
    text = "The inputs are bytes (0 to 255) and dataset.scale is 1. If the model was trained on"
    return [f"{text} 0 to 1, set scale to 0.00392156862745098."]


def check_targets(dataset: Dataset, outputs: Sequence[TensorSpec], losses: Sequence[str]) -> None:
    """Check the targets of all splits against the model's outputs and their losses.

    Args:
        dataset: The arrays; their targets are finite numbers.
        outputs: The model's outputs, in its order.
        losses: The loss of each, which determines how targets are written: as class indices,
            one-hot rows, or others.

    Raises:
        InputError: With the place, and the offending value or shape.
    """
    for which, split in dataset.splits:
        found = zip(outputs, losses, split.targets, strict=bool(split.targets))
        for output, loss, targets in found:
            where = _target_place(which, output, outputs)
            if loss == "sparse_categorical_crossentropy":
                _check_labels(targets, output, where)
                continue
            _check_target_shape(targets, output, where)
            if loss in ROWS_OF_CLASSES:
                _check_one_hot(targets, output, loss, where)
            elif loss in RANGES:
                _check_range(targets, loss, where)


def _target_place(which: str, output: TensorSpec, outputs: Sequence[TensorSpec]) -> str:
    of = f" ({output.name})" if len(outputs) > 1 else ""
    return f"dataset.{which}.targets{of}"


def _check_dtype(rows: Rows, where: str) -> None:
    if rows.dtype.kind not in "biuf" or rows.dtype.itemsize > MAX_ITEM_BYTES:
        raise InputError(
            f"The array holds {rows.dtype} and no numbers of at most 64 bits.",
            where=where,
            hint="Convert it first.",
        )


def _check_finite(part: Array, where: str, first_row: int) -> None:
    if part.dtype.kind != "f":
        return
    finite = np.isfinite(part)
    if finite.all():
        return
    position = [int(index) for index in np.argwhere(~finite)[0]]
    value = part[tuple(position)]
    position[0] += first_row
    raise InputError(
        f"The array holds {value} at {position}.",
        where=where,
        hint="Clean the data: NaN and infinity make every weight NaN.",
    )


def _check_weights(weights: Any, rows: int, where: str) -> None:
    """Refuse what is not one finite number, 0 or larger, for each row, or is 0 for all."""
    why = ""
    if weights.shape not in ((rows,), (rows, 1)) or weights.dtype.kind not in "biuf":
        why = f"The array is {weights.dtype} of shape {weights.shape}, not a number for each row."
    elif (is_bad := ~np.isfinite(weights) | (weights < 0)).any():
        row = int(np.argmax(is_bad))
        why = f"The weight of row {row} is {weights.ravel()[row]}."
    elif not weights.any():
        why = "All weights are 0: no row would count."
    if why:
        raise InputError(
            why,
            where=where,
            hint="A weight is a finite number, 0 or larger, for each training row.",
        )


def _check_shape(array: Rows, spec: TensorSpec, where: str) -> None:
    if not fits(spec.shape, array.shape[1:]):
        raise InputError(
            f"The array's rows have the shape {array.shape[1:]}, the model takes "
            f"{_shape(spec.shape)}.",
            where=where,
            hint="Name other arrays or columns in dataset.train.inputs, or make the rows fit: "
            "dataset.preprocess (shape, resize, one_hot), one_hot of dataset.columns, "
            "dataset.image_size, dataset.sequence_length.",
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


def _check_integers(array: Array, spec: TensorSpec, where: str) -> None:
    """Integers would wrap what is too large, and cut fractions off."""
    if not spec.dtype.startswith(("int", "uint")) or not array.size:
        return
    limits, low, high = np.iinfo(spec.dtype), array.min(), array.max()
    if low < limits.min or high > limits.max:
        span = f"from {limits.min} to {limits.max}"
        raise InputError(
            f"The array goes from {low} to {high}; the model takes {spec.dtype}, {span}.",
            where=where,
            hint="Give the numbers that the model was trained on.",
        )
    is_share = array.dtype.kind == "f" and low >= 0 and high <= 1
    if is_share and bool((array != np.rint(array)).any()):
        raise InputError(
            f"The array has fractions up to {high:.4g}; as {spec.dtype}, they would all be 0.",
            where=where,
            hint="Give whole numbers, such as bytes: the model scales them itself.",
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
    classes = (output.shape[-1] or 0) if output.shape else 1
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
    is_single = not output.shape or output.shape[-1] == 1
    if is_single or (values < 0).any() or not np.allclose(sums, 1, atol=1e-3):
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
