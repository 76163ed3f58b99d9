"""What kind of answer an output is, with or without labels: a distribution or numbers.

With labels the loss says it. Without, the graph does, checked on the outputs for rows of the data;
or the loss that the manifest or the file names, since nothing else tells logits from numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from job.manifest.keras_names import BINARY, CROSSENTROPIES
from job.manifest.training import LossConfig, TrainingConfig
from job.objective.choose import Known
from job.objective.endings import Ending, ending
from job.objective.evidence import Evidence
from job.objective.losses import Objective, Objectives
from job.result.specs import TensorSpec

AnswerKind = Literal["softmax", "sigmoid", "numbers"]


@dataclass(frozen=True)
class Answer:
    """What an output's values are."""

    kind: AnswerKind
    """``softmax``: one class of several, along the last axis; ``sigmoid``: each value by itself is
    true or false; ``numbers``: all else."""
    from_logits: bool
    """Whether the values of a distribution are logits, and not probabilities."""
    reason: str


def answers_of(
    config: TrainingConfig,
    model: Any,
    outputs: Sequence[TensorSpec],
    objectives: Objectives,
    known: Known,
) -> dict[str, Answer]:
    """What kind of answer each output is: by name, in the model's order.

    Args:
        config: The manifest's training; without labels, its loss says what an output is.
        model: The model, whose graph is read.
        outputs: Its outputs, in its order.
        objectives: Their losses, where there are labels.
        known: Their values on rows, and the losses that the file was compiled with.
    """
    found = {}
    for index, (spec, tensor) in enumerate(zip(outputs, model.outputs, strict=True)):
        compiled = known.losses.get(spec.name)
        named = config.loss_of(spec.name)
        source = "the manifest"
        if named is None and isinstance(compiled, LossConfig):
            named, source = compiled, "the file"
        found[spec.name] = answer_of(
            ending(tensor),
            known.seen[index],
            (spec.shape[-1] or 1) if spec.shape else 1,
            objectives.get(spec.name),
            named,
            source,
        )
    return found


def answer_of(
    ending: Ending,
    seen: Evidence | None,
    units: int,
    objective: Objective | None = None,
    named: LossConfig | None = None,
    source: str = "",
) -> Answer:
    """What kind of answer an output is.

    Args:
        ending: What the graph says of it.
        seen: What its values are on some rows.
        units: Its values along the last axis.
        objective: Its loss, where there are labels.
        named: Without labels: the loss that the manifest names, or the file was compiled with.
        source: Who names it, for the reason.
    """
    if objective is not None and objective.loss_name in CROSSENTROPIES:
        logits = objective.from_logits is True
        of = "logits" if logits else "probabilities"
        reason = f"the loss {objective.loss_name} reads it as {of}"
        return Answer(_kind(objective.loss_name), logits, reason)
    if named is not None and named.type in CROSSENTROPIES:
        logits = named.from_logits if named.from_logits is not None else not ending.is_unit
        fits = seen is None or logits or seen.in_unit
        if fits and (units > 1 or _kind(named.type) == "sigmoid"):
            of = "logits" if logits else "probabilities"
            return Answer(_kind(named.type), logits, f"{source} names {named.type}, of {of}")
    return _by_graph(ending, seen, units)


def _by_graph(ending: Ending, seen: Evidence | None, units: int) -> Answer:
    sums = seen is not None and seen.in_unit and seen.sums_to_one
    if units > 1 and sums and ending.kind in ("distribution", "unknown", "probabilities"):
        return Answer("softmax", False, f"{ending.text}, and {seen.text}" if seen else ending.text)
    if units > 1 and ending.kind == "log_distribution" and seen and seen.logs_sum_to_one:
        return Answer("softmax", True, f"{ending.text}, which are logits, too")
    if ending.kind == "probabilities" and (seen is None or seen.in_unit):
        return Answer("sigmoid", False, ending.text)
    return Answer("numbers", False, f"{ending.text}, and nothing says that they are logits")


def _kind(loss: str) -> AnswerKind:
    return "sigmoid" if loss in BINARY else "softmax"
