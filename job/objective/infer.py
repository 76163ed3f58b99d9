"""The loss, from the targets and the model's ending, where neither manifest nor file has one.

A loss is inferred only where both agree on it; otherwise an error asks the user to choose.
"""

from __future__ import annotations

import numpy as np

from job.errors import InputError
from job.manifest.keras_names import BINARY, HINGES, ROWS_OF_CLASSES
from job.objective.endings import Ending
from job.objective.evidence import NEARLY, Evidence, Targets
from job.objective.values import INF

DISTANCE = "mean_squared_error"


def infer(targets: Targets, ending: Ending, seen: Evidence | None, where: str) -> tuple[str, str]:
    """The loss, and the reason.

    Args:
        targets: All of the output's targets.
        ending: What the graph says of the output.
        seen: The output on rows of the data, if any were tried.
        where: The output, for messages.

    Raises:
        InputError: Where the user must choose.
    """
    if targets.is_whole and targets.has_indices:
        return (
            "sparse_categorical_crossentropy",
            f"the targets are class indices for the model's {targets.units} outputs",
        )
    if not targets.has_values:  # their shape is refused later
        return DISTANCE, f"the targets are {targets.text}"
    if targets.is_binary:
        return _of_binary(targets, ending, where)
    if targets.is_signs:
        return _of_signs(ending, seen, where)
    if targets.is_unit and not targets.is_whole:
        return _of_fractions(targets, ending, seen, where)
    return _of_numbers(targets, ending, where)


def _of_binary(targets: Targets, ending: Ending, where: str) -> tuple[str, str]:
    if targets.units == 1:
        if ending.kind == "distribution":
            raise _choice(
                "A softmax over one value is always 1, whatever the input is",
                where,
                "Give a model that ends in a sigmoid, or in a softmax over two values.",
            )
        return "binary_crossentropy", "the targets are 0 and 1 for one output"
    is_sigmoid = ending.kind == "probabilities" and "softmax" not in ending.names
    if targets.has_distributions and not is_sigmoid:
        return "categorical_crossentropy", "the targets are one-hot rows"
    if ending.kind in ("distribution", "log_distribution"):
        raise _choice(
            f"The targets' rows have from {targets.low_sum:g} to {targets.high_sum:g} ones, and "
            f"{ending.text}, whose rows sum to 1",
            where,
            "Give one-hot rows or class indices, or name the loss the model was trained with in "
            "training.loss.",
        )
    if targets.high_sum <= 1 and ending.kind in ("unbounded", "unknown"):
        raise _choice(
            "The targets' rows have one 1, or none: they may be one-hot rows of which some should "
            "be ignored, or several labels, each 0 or 1",
            where,
            "Set training.loss to binary_crossentropy for independent labels; for "
            "categorical_crossentropy, leave out rows without a class.",
        )
    return "binary_crossentropy", "the targets are 0 and 1, any number of them in a row"


def _of_signs(ending: Ending, seen: Evidence | None, where: str) -> tuple[str, str]:
    is_signed = ending.low < 0 if ending.kind != "unknown" else seen is not None and seen.low < 0
    if not is_signed:
        raise _choice(
            f"The targets are -1 and 1, and {ending.text}, which is never -1",
            where,
            "Write the targets as 0 and 1.",
        )
    why = "the targets are -1 and 1"
    if seen is not None:
        signs = seen.targets.reshape(seen.answers.shape)
        right = float(np.mean((seen.answers > 0) == (signs.astype(np.float64) > 0)))
        why += f"; {right:.1%} of the outputs for {seen.rows} rows have the sign of their target"
    return "hinge", why


def _of_fractions(
    targets: Targets, ending: Ending, seen: Evidence | None, where: str
) -> tuple[str, str]:
    """For soft targets, smoothed labels, and other numbers in 0..1."""
    if targets.has_distributions:
        why = "the targets are rows that sum to 1 (soft or smoothed classes)"
        is_softmax = ending.kind in ("distribution", "log_distribution") or (
            ending.kind == "probabilities" and "softmax" in ending.names
        )
        if is_softmax or (ending.kind == "unknown" and seen is not None and seen.sums_to_one):
            return "categorical_crossentropy", why
        if ending.kind == "probabilities":
            return "binary_crossentropy", f"{why}, and each output is an independent probability"
        raise _choice(
            f"The targets' rows sum to 1, and {ending.text}: its outputs may be logits of soft "
            "classes, or the numbers themselves",
            where,
            'Set training.loss: {"type": "categorical_crossentropy", "from_logits": true} for '
            "logits, mean_squared_error for numbers.",
        )
    if ending.kind == "distribution":
        raise _choice(
            f"The targets' rows sum to {targets.low_sum:.3g} to {targets.high_sum:.3g}, and "
            f"{ending.text}, whose rows sum to 1",
            where,
            "Divide each row by its sum, or name the loss in training.loss.",
        )
    if targets.is_smoothed:
        return (
            "binary_crossentropy",
            f"the targets are {targets.text}: 0 and 1, with label smoothing",
        )
    why = f"the targets are {targets.text}, one for each of the model's outputs"
    if ending.is_unit:
        why += " (for probabilities as targets, set training.loss to binary_crossentropy)"
    return DISTANCE, why


def _of_numbers(targets: Targets, ending: Ending, where: str) -> tuple[str, str]:
    is_reached = _is_reached(targets, ending)
    if ending.kind in ("distribution", "log_distribution") or not is_reached:
        raise _choice(
            f"The targets are {targets.text}, which the model can't answer: {ending.text}"
            + ("" if ending.high == INF or not is_reached else ", in rows that sum to 1"),
            where,
            _hint_of_numbers(targets, ending),
        )
    odd = targets.is_two_valued and targets.low != targets.high
    ternary = (targets.low, targets.high) == (-1, 1)
    if targets.is_whole and (odd or ternary):
        raise _choice(
            f"The targets are {targets.text}: they may be classes or numbers",
            where,
            "Write two classes as 0 and 1, and leave out rows without a label (-1); or set "
            "training.loss to mean_squared_error for numbers.",
        )
    return DISTANCE, f"the targets are {targets.text}, one for each of the model's outputs"


def _hint_of_numbers(targets: Targets, ending: Ending) -> str:
    if targets.is_two_valued:
        return "Write the targets as 0 and 1."
    if targets.is_whole and targets.low == -1:
        return "Leave out the rows without a label (-1): labels are not ignored."
    if targets.is_whole and ending.high <= 1:
        return (
            "Scale the targets to the range of the outputs, give one output for each class, or "
            "name the loss in training.loss."
        )
    return "Scale the targets to the range of the outputs, or name the loss in training.loss."


def misfit(loss: str, targets: Targets, ending: Ending) -> str:
    """Why the loss that a file was compiled with does not fit the targets; "" where it does."""
    if loss == "sparse_categorical_crossentropy":
        fits = targets.has_indices and targets.is_whole
        return "" if fits and targets.low >= 0 else "the targets are not class indices"
    if not targets.has_values:
        return "the targets are of another shape"
    if loss in ROWS_OF_CLASSES:
        return "" if targets.has_distributions else "the targets are not rows that sum to 1"
    if loss in BINARY:
        return "" if targets.is_unit else "the targets are not in 0..1"
    if loss in HINGES:
        fits = targets.is_signs or targets.is_binary
        return "" if fits else "the targets are neither -1 and 1 nor 0 and 1"
    if loss in ("poisson", "mean_squared_logarithmic_error") and targets.low < 0:
        return "some targets are negative"
    return (
        "" if _is_reached(targets, ending) else f"the targets are {targets.text}, and {ending.text}"
    )


def _is_reached(targets: Targets, ending: Ending) -> bool:
    """Whether the model can answer all the targets."""
    return targets.low >= ending.low - NEARLY and targets.high <= ending.high + NEARLY


def _choice(what: str, where: str, hint: str) -> InputError:
    return InputError(f"{what}.", where=where, hint=hint)
