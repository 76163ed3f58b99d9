"""Which losses and metrics: those of the manifest, those that the file was compiled with, or those
inferred from model and targets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.gates import BeatsConstantGate, GateConfig, MaxDropGate, MinValueGate
from job.manifest.keras_names import BINARY, CROSSENTROPIES, HINGES
from job.manifest.training import OPTIONS, LossConfig, TrainingConfig
from job.objective import logits
from job.objective.endings import Ending, ending
from job.objective.evidence import Evidence, Targets, describe
from job.objective.infer import infer, misfit
from job.objective.last_axis import LastAxis, last_axis
from job.objective.losses import (
    ACCURACIES,
    ACCURACY,
    LOSSES,
    MEANINGFUL,
    METRICS,
    LabelKind,
    Objective,
    Objectives,
)
from job.result.specs import TensorSpec

# The gates on metrics of outputs.
OutputGate = MaxDropGate | MinValueGate | BeatsConstantGate
# Metrics that treat each target as true or false: to them, all smoothed targets are true.
NEED_TRUE_OR_FALSE = ("auc", "precision", "recall")
# Losses that take the logarithm of the outputs.
NEED_POSITIVE = ("poisson", "kl_divergence")

# What the last axis of an output with a binary loss holds, as the end of the reason.
AXES: dict[LastAxis, str] = {
    "classes": "",
    "positions": "; the last axis holds positions and no classes: each value is a decision of its "
    "own",
    "unclear": "; the graph does not tell whether the last axis holds classes or positions, so "
    "there are no figures of classes",
}


@dataclass(frozen=True)
class Known:
    """What is known of a model besides its graph: its outputs on rows, and how it was compiled."""

    seen: Sequence[Evidence | None] = ()
    """For each output; empty where no rows were tried."""
    losses: Mapping[str, LossConfig | str] = field(default_factory=dict)
    """Those that the file was compiled with, by output; a string says why one can't be used."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Those that the file was compiled with, by output."""


GRAPH_ONLY = Known()


@dataclass(frozen=True)
class _Output:
    """What is known of an output."""

    spec: TensorSpec
    ending: Ending
    targets: Targets
    seen: Evidence | None
    compiled: LossConfig | str | None
    last_axis: LastAxis
    of: str
    """Its name, for messages; "" where the model has only one."""


def choose(
    config: TrainingConfig,
    gates: Sequence[GateConfig],
    model: tf_keras.Model,
    outputs: Sequence[TensorSpec],
    targets: Sequence[NDArray[np.generic]],
    known: Known = GRAPH_ONLY,
) -> Objectives:
    """Take the loss and the metrics of each output from the manifest or the file, or infer them.

    Args:
        config: What the manifest asks; the rest is inferred.
        gates: The metrics that they name are measured too.
        model: Its graph says which activations the outputs come from.
        outputs: The model's outputs, in its order.
        targets: (rows, ...) for each output: class indices, one-hot rows, 0 and 1, or numbers.
        known: What is known besides; by default, only the graph is used.

    Raises:
        InputError: Where the manifest's metrics do not fit the loss, it names an output that the
            model does not have, or it must choose.
    """
    asked = [
        (f"gates.{index}", gate) for index, gate in enumerate(gates) if isinstance(gate, OutputGate)
    ]
    names = [spec.name for spec in outputs]
    _check_names(config, asked, names)
    chosen = {}
    seen = known.seen or [None] * len(names)
    for spec, tensor, wanted, rows in zip(outputs, model.outputs, targets, seen, strict=True):
        gated = [
            gate.metric
            for _, gate in asked
            if gate.metric is not None and (len(names) == 1 or gate.output == spec.name)
        ]
        of = f" ({spec.name})" if len(names) > 1 else ""
        compiled = known.losses.get(spec.name)
        meant = (ending(tensor), describe(spec, wanted), rows, compiled, last_axis(tensor))
        output = _Output(spec, *meant, of)
        chosen[spec.name] = _choose_one(config, output, gated, known.weights)
    for place, gate in asked:
        anywhere = gate.output is None and gate.metric not in ("loss", None)
        if anywhere and not any(gate.metric in it.metric_names for it in chosen.values()):
            raise InputError(
                f"The metric {gate.metric} is measured for none of the outputs {', '.join(names)}.",
                where=f"{place}.metric",
                hint="Name the gate's output, or add the metric to training.metrics.",
            )
    return chosen


def _check_names(
    config: TrainingConfig, gates: Sequence[tuple[str, OutputGate]], names: Sequence[str]
) -> None:
    """Refuse names of outputs that the model does not have."""
    named = {f"{place}.output": [gate.output] for place, gate in gates if gate.output is not None}
    named |= {
        f"training.{field}": list(given)
        for field in ("loss", "metrics", "loss_weights")
        if isinstance(given := getattr(config, field), dict)
    }
    for place, given in named.items():
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InputError(
                f"The model has no output {', '.join(unknown)}; its outputs: {', '.join(names)}.",
                where=place,
                hint="Name one of these.",
            )


def _choose_one(
    config: TrainingConfig, output: _Output, gated: Sequence[str], weights: Mapping[str, float]
) -> Objective:
    """The objective of one output; ``weights`` are the loss weights in the file, by output."""
    name = output.spec.name
    given = config.loss_of(name)
    loss, why, is_compiled = _loss(given, output)
    weight = config.loss_weights.get(name)
    if weight is None and is_compiled and not config.loss_weights:
        weight = weights.get(name)
        why += f", with the weight {weight:g}" if weight not in (None, 1) else ""
    from_logits = None
    if loss.type in CROSSENTROPIES:
        from_logits, reason = _logits(given, loss, output)
        why += f"; {reason}"
    _check_answers(loss.type, output)
    labels = _labels(loss.type, output.targets)
    listed = config.metrics_of(name)
    asked = [*(listed or _usual_metrics(loss.type, labels)), *gated]
    metrics = tuple(dict.fromkeys(metric for metric in asked if metric != "loss"))
    _check_metrics(metrics, gated, loss.type, labels, output)
    if listed is None:
        why += f"; measured with that loss: {', '.join(metrics)}"
    options = {
        option: value
        for option in OPTIONS
        if option != "from_logits" and (value := getattr(loss, option)) is not None
    }
    if loss.type in (*BINARY, *HINGES) and (output.spec.shape or [1])[-1] != 1:
        why += AXES[output.last_axis]
    fixed = (loss.type, from_logits, metrics, why, weight or 1.0, options, labels)
    return Objective(*fixed, output.last_axis)


def _loss(given: LossConfig | None, output: _Output) -> tuple[LossConfig, str, bool]:
    """The loss, the reason, and whether it is the one that the file was compiled with."""
    if given is not None:
        return given, "the manifest names the loss", False
    compiled = output.compiled
    if isinstance(compiled, LossConfig):
        against = misfit(compiled.type, output.targets, output.ending)
        if not against:
            why = f"the file was compiled with it, and the targets fit: {output.targets.text}"
            if compiled.type == "huber" and compiled.delta is None:
                why += "; the file has no delta, so it is 1"
            return compiled, why, True
        besides = f"the file was compiled with {compiled.type}, which does not fit: {against}"
    else:
        besides = compiled or ""
    where = f"dataset.train.targets{output.of}"
    loss, why = infer(output.targets, output.ending, output.seen, where)
    return LossConfig(type=loss), f"{why}; {besides}" if besides else why, False


def _logits(given: LossConfig | None, loss: LossConfig, output: _Output) -> tuple[bool, str]:
    """``from_logits``, and the reason."""
    compiled = output.compiled if isinstance(output.compiled, LossConfig) else None
    choice: dict[str, Any] = {"type": loss.type, "from_logits": True}
    setting = json.dumps({"loss": {output.spec.name: choice} if output.of else choice})
    reading = logits.Reading(
        loss=loss.type,
        ending=output.ending,
        seen=output.seen,
        compiled=compiled.from_logits if compiled and compiled.type == loss.type else None,
        where=f"training.loss{output.of}",
        hint=f'Set it under training: {setting} for logits, "from_logits": false for '
        "probabilities; or name another loss there.",
    )
    if given is not None and given.from_logits is not None:
        return given.from_logits, logits.check(reading, from_logits=given.from_logits)
    return logits.infer(reading)


def _check_answers(loss: str, output: _Output) -> None:
    """Refuse a loss that takes the logarithm of outputs, where some are negative."""
    if loss in NEED_POSITIVE and output.seen is not None and output.seen.low < 0:
        raise InputError(
            f"The loss {loss} takes the logarithm of the outputs, and {output.seen.text}.",
            where=f"training.loss{output.of}",
            hint="Give a model whose outputs are positive, or name another loss in training.loss.",
        )


def _labels(loss: str, targets: Targets) -> LabelKind | None:
    """How classes are written in the targets; None where these are numbers."""
    if loss in ACCURACY:
        return ACCURACY[loss]
    if not targets.is_binary or not targets.has_values:  # 0 and 1 are classes for a distance, too
        return None
    return "one_hot" if targets.has_distributions else "binary"


def _usual_metrics(loss: str, labels: LabelKind | None) -> tuple[str, ...]:
    if loss == "cosine_similarity":
        return ("cosine_similarity",)
    if loss in ACCURACY:
        return ("accuracy",)
    return ("mean_absolute_error", "accuracy") if labels else ("mean_absolute_error",)


def _check_metrics(
    metrics: Sequence[str],
    gated: Sequence[str],
    loss: str,
    labels: LabelKind | None,
    output: _Output,
) -> None:
    for metric in metrics:
        where = ("gates" if metric in gated else "training.metrics") + output.of
        if not _is_meaningful(metric, loss, labels):
            every = ("accuracy", *ACCURACIES, *METRICS)
            could = [it for it in every if _is_meaningful(it, loss, labels)]
            raise InputError(
                f"The metric {metric} has no meaning for the loss {loss} and targets that are "
                f"{output.targets.text}.",
                where=where,
                hint=f"With {loss} these can be measured: {', '.join(could)}.",
            )
        if metric in NEED_TRUE_OR_FALSE and not output.targets.is_binary:
            raise InputError(
                f"The metric {metric} treats each target as true or false, and they are "
                f"{output.targets.text}.",
                where=where,
                hint="Give targets of 0 and 1, with label_smoothing in training.loss if you like.",
            )


def _is_meaningful(metric: str, loss: str, labels: LabelKind | None) -> bool:
    if metric == "accuracy":
        return labels is not None
    if metric in ACCURACIES and loss not in ACCURACY:
        return labels == ACCURACIES[metric]
    return loss in MEANINGFUL.get(metric, LOSSES)
