"""Whether a crossentropy reads an output as logits or as probabilities.

There are three sources: the graph, the outputs for rows of the data, and how the file was compiled.
Where they contradict each other, or none of them tells, the manifest must say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from job.errors import InputError
from job.manifest.keras_names import BINARY
from job.objective.endings import Ending
from job.objective.evidence import Evidence

# How much better another threshold may do before an inferred ``from_logits`` is refused.
DOUBT = 0.1


@dataclass(frozen=True)
class Reading:
    """An output, and what is known of it."""

    loss: str
    ending: Ending
    seen: Evidence | None
    """None where no rows were tried."""
    compiled: bool | None
    """``from_logits`` of the same loss, as the file was compiled."""
    where: str
    hint: str

    @property
    def is_binary(self) -> bool:
        """Whether each value is an independent probability."""
        return self.loss in BINARY

    @property
    def facts(self) -> str:
        """What the graph and the outputs say, for messages."""
        return f"{self.ending.text}; {self.seen.text}" if self.seen else self.ending.text

    def refused(self, why: str, hint: str = "") -> InputError:
        """The error that asks for a choice, with the facts."""
        return InputError(f"{why} ({self.facts}).", where=self.where, hint=hint or self.hint)


def check(reading: Reading, *, from_logits: bool) -> str:
    """Check what the manifest says, and return the reason.

    Raises:
        InputError: Where graph or outputs contradict it.
    """
    ending, seen = reading.ending, reading.seen
    if from_logits:
        by_graph = ending.is_unit if reading.is_binary else ending.kind == "distribution"
        by_rows = seen is not None and not reading.is_binary and seen.in_unit and seen.sums_to_one
        if by_graph or by_rows:
            raise reading.refused("The outputs are probabilities, and from_logits is true")
    elif seen is not None and not seen.in_unit:
        raise reading.refused("The outputs are not in 0..1, and from_logits is false")
    return f"the manifest says that from_logits is {str(from_logits).lower()}"


def infer(reading: Reading) -> tuple[bool, str]:
    """``from_logits``, and the reason.

    Raises:
        InputError: Where no source tells, or sources contradict each other.
    """
    by_graph, by_rows = _by_graph(reading), _by_rows(reading)
    if by_graph is not None and by_rows is not None and by_graph != by_rows:
        raise reading.refused(
            "The graph says that the outputs are "
            f"{'logits' if by_graph else 'probabilities'}, and the outputs say the opposite"
        )
    by = [it for it in (by_graph, by_rows) if it is not None]
    needs_rows = reading.ending.kind in ("unbounded", "bounded", "unknown")
    is_told = by_rows is not None or reading.seen is None or not needs_rows
    if reading.ending.kind == "bounded" and reading.is_binary:  # as a tanh is
        is_told = False
    if by and is_told:
        _doubt(reading, by[0])
        reason = f"{reading.facts}; so from_logits is {str(by[0]).lower()}"
        if reading.compiled not in (None, by[0]):
            reason += f", though the file was compiled with {str(reading.compiled).lower()}"
        return by[0], reason
    may_be_probabilities = reading.seen is None or reading.seen.in_unit
    if reading.compiled is not None and (reading.compiled or may_be_probabilities):
        text = str(reading.compiled).lower()
        return reading.compiled, f"{reading.facts}; the file was compiled with from_logits {text}"
    raise reading.refused("It is not clear whether the outputs are logits or probabilities")


def _by_graph(reading: Reading) -> bool | None:
    match reading.ending.kind:
        case "distribution" | "probabilities":
            return False
        case "other_axis":
            raise reading.refused(
                "Classes must be the last axis, along which Keras's losses and metrics work",
                hint="End the model in a Permute that puts the classes last, as in the targets.",
            )
        case "log_distribution" if not reading.is_binary:
            return True  # the softmax of log-probabilities gives the probabilities back
        case "log_distribution" | "log_probabilities":
            raise reading.refused(
                "Log-probabilities are neither logits nor probabilities",
                hint="End the model in a sigmoid or in logits.",
            )
        case "unbounded":
            return True
    return None


def _by_rows(reading: Reading) -> bool | None:
    seen = reading.seen
    if seen is None:
        return None
    if not seen.in_unit:
        # They may be log-probabilities, a tanh or cosines, which are not logits.
        is_other = seen.high <= 0 or (seen.low >= -1 and seen.high <= 1)
        is_open = reading.is_binary and reading.ending.kind == "unknown" and is_other
        return None if is_open else True
    if reading.is_binary:
        return None
    if seen.sums_to_one:
        return False
    # Small logits may all be in 0..1; a softmax would show in the graph, and in the sums.
    return True if reading.ending.kind == "unbounded" else None


def _doubt(reading: Reading, from_logits: bool) -> None:
    """Refuse logits that agree with the targets only at the threshold of probabilities: the model
    was trained on 0 and 1 as numbers.
    """
    seen = reading.seen
    if not (from_logits and reading.is_binary and seen is not None):
        return
    if seen.targets.size != seen.answers.size:  # their shape is refused later
        return
    targets = seen.targets.reshape(seen.answers.shape).astype(np.float64) > 0.5
    at_zero, at_half = (float(np.mean((seen.answers > at) == targets)) for at in (0.0, 0.5))
    if at_half - at_zero > DOUBT:
        raise reading.refused(
            f"As logits the outputs agree with {at_zero:.1%} of the targets, as probabilities with "
            f"{at_half:.1%}: the model seems to be trained on 0 and 1 as numbers"
        )
