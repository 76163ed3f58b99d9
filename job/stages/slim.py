"""slim: the same graph without what no interpreter needs to run it.

What is computed stays the same bit for bit, which is checked on rows after the change. Inputs and
outputs are then found by their position, which is the Keras model's, and not by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from job.errors import StageError
from job.tflite import flat, tidy, units
from job.tflite.interpret import Array, predictor

PROMISE = (
    "slim: inputs and outputs have no names and are found by their position, in the model's order"
)


@dataclass(frozen=True)
class Step:
    """A change of a file."""

    change: Callable[[Any], bool | str]
    """Whether it changed anything; or what, where that differs from file to file."""
    says: str
    """What is gone, for the result."""

    def make(self, model: Any) -> str:
        """Change a model; what is gone, as a sentence, and empty where nothing is."""
        found = self.change(model)
        if isinstance(found, str):
            return f"{self.says}: {found}" if found else ""
        return self.says if found else ""


STEPS = (
    Step(tidy.with_shapes_in_options, "shapes of RESHAPE stand in its options"),
    Step(units.without_dead_units, "no units that are always zero or that nobody reads"),
    # Where outputs change without those that nobody reads.
    Step(units.without_zero_units, "no units that are always zero"),
    Step(units.with_rising_biases, "units in the order of their biases"),
    Step(tidy.without_flatten, "no Flatten before FULLY_CONNECTED, which flattens by itself"),
    Step(tidy.without_hints, "no ranges and second shapes of tensors"),
    Step(tidy.without_names, "no names, signature, metadata and description"),
    Step(tidy.without_unused_tensors, "no unused tensors and operator codes"),
    Step(tidy.without_unused_buffers, "each different buffer once"),
)


def slim(
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    rows: Sequence[Array],
    steps: Sequence[Step] = STEPS,
) -> tuple[bytes, list[str]]:
    """Leave out of a file what no interpreter needs.

    Args:
        content: A ``.tflite`` with a signature.
        inputs: The model's inputs, in its order, as the signature calls them.
        outputs: Its outputs.
        rows: An array for each input, (rows, ...): what outputs are compared for.
        steps: What may be left out.

    Returns:
        The smaller file; and what was left out, or why not, as sentences.

    Raises:
        StageError: Where the outputs can't be compared, since they are random.
    """
    wanted = _outputs(content, inputs, outputs, rows)
    if not _is_same(content, inputs, outputs, rows, wanted):
        raise StageError(
            "The file gives other outputs each time, so what is left out of it can't be checked.",
            where="slim",
            hint="Leave slim out.",
        )
    found, changes = _after(content, inputs, outputs, steps)
    if found == content or _is_same(found, inputs, outputs, rows, wanted):
        return found, [f"{PROMISE}; {'; '.join(changes)}"]
    taken: list[Step] = []
    said = [PROMISE]
    for step in steps:
        trial, changes = _after(content, inputs, outputs, [*taken, step])
        if len(changes) == len(taken):
            continue  # there is nothing of it in the file
        if _is_same(trial, inputs, outputs, rows, wanted):
            taken.append(step)
            said.append(changes[-1])
        else:
            said.append(f"left as it was, since the outputs would change: {changes[-1]}")
    return without(content, inputs, outputs, taken), said


def without(
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    steps: Sequence[Step] = STEPS,
) -> bytes:
    """The file after these steps, its outputs not compared."""
    return _after(content, inputs, outputs, steps)[0]


def _after(
    content: bytes, inputs: Sequence[str], outputs: Sequence[str], steps: Sequence[Step]
) -> tuple[bytes, list[str]]:
    """The file after these steps, and what each of those that changed it left out."""
    model = flat.read(content)
    tidy.ordered(model, list(inputs), list(outputs))
    said = [step.make(model) for step in steps]
    return flat.write(model), [it for it in said if it]


def _outputs(
    content: bytes, inputs: Sequence[str], outputs: Sequence[str], rows: Sequence[Array]
) -> list[Array]:
    found: list[Array] = []
    for resolver in ("xnnpack", "builtin"):
        found += predictor(content, inputs, outputs, 1, resolver)(rows)
    return found


def _is_same(
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    rows: Sequence[Array],
    wanted: Sequence[Array],
) -> bool:
    try:
        found = _outputs(content, inputs, outputs, rows)
    except (RuntimeError, ValueError):
        return False
    return all(
        one.shape == other.shape and np.array_equal(one.view(np.uint32), other.view(np.uint32))
        for one, other in zip(found, wanted, strict=True)
    )
