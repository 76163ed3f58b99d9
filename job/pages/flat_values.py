"""A value at a time, as the lines in C++ and Kotlin convert it: C-like expressions."""

from __future__ import annotations

from collections.abc import Sequence

from job.pages.literals import factor, resized, single, sizes
from job.result.artifact import TensorResult


def beforehand(tensor: TensorResult) -> str:
    """What is to be done with an input's values first, for its comment; empty for nothing."""
    found = resized(tensor)
    steps = tensor.preprocess
    if steps is not None and steps.one_hot:
        found.append(f"as one-hot vectors of {steps.one_hot}")
    if steps is not None and steps.reverse_channels:
        found.append("with its channels reversed (RGB as BGR)")
    return "".join(f", {step}" for step in found)


def is_copied(tensor: TensorResult) -> bool:
    """Whether an input takes the data set's values as they are."""
    return tensor.scale is None and tensor.preprocess is None and factor(tensor) == 1


def prepared(value: str, tensor: TensorResult, constants: str) -> str:
    """A data set's value as a real number of the model.

    Args:
        value: The expression of the value.
        tensor: The input.
        constants: How a value of a list is read: with ``{name}``, ``{count}``.
    """
    steps = tensor.preprocess
    if steps is None:
        return value if factor(tensor) == 1 else f"{value} * {single(factor(tensor))}"
    for sign, name, step in (
        ("/", "", steps.divide_by),
        ("*", "", steps.scale),
        ("+", "offset", steps.offset),
        ("-", "mean", steps.mean),
        ("/", "std", steps.std),
    ):
        if step is None:
            continue
        left = f"({value})" if sign in "*/" and " " in value else value
        value = f"{left} {sign} {_operand(step, name, constants)}"
    return value


def _operand(step: float | list[float], name: str, constants: str) -> str:
    if isinstance(step, list) and len(step) > 1:
        return constants.format(name=name, count=len(step))
    found = single(step[0] if isinstance(step, list) else step)
    return f"({found})" if found.startswith("-") else found


def listed(tensor: TensorResult) -> dict[str, Sequence[float]]:
    """The lists that ``prepared`` reads: name -> a value for each channel."""
    steps = tensor.preprocess
    if steps is None:
        return {}
    known = {"offset": steps.offset, "mean": steps.mean, "std": steps.std}
    return {name: values for name, values in known.items() if values and len(values) > 1}


def one_call(tensor: TensorResult) -> str:
    """The shape of a call: one row, or the rows of a fixed batch."""
    return sizes([tensor.shape[0] or 1, *tensor.shape[1:]] if tensor.shape else [])
