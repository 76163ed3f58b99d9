"""Which losses and metrics: those of the manifest, or what model and targets say they must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.outputs import BeatsConstantGate, GateConfig, MaxDropGate, MinValueGate
from job.manifest.training import CROSSENTROPIES, TrainingConfig
from job.metrics.objective import ACCURACY, LOSSES, MEANINGFUL, METRICS, Objective, Objectives
from job.result import TensorSpec, fits


def choose(
    config: TrainingConfig,
    gates: Sequence[GateConfig],
    model: tf_keras.Model,
    outputs: Sequence[TensorSpec],
    targets: Sequence[NDArray[np.generic]],
) -> Objectives:
    """Take the loss and the metrics of each output from the manifest, or infer them.

    Args:
        config: What the manifest says; what it leaves out is inferred.
        gates: The metrics that gates ask of an output are measured too.
        model: For the activations that its outputs come from.
        outputs: The model's outputs, in its order.
        targets: For each output (rows, ...), for their kind: class indices, one-hot rows, 0 and 1,
            or numbers.

    Raises:
        InputError: Where the manifest's metrics do not go with the loss, or it names an output that
            the model has not.
    """
    asked = [
        (f"gates.{index}", gate)
        for index, gate in enumerate(gates)
        if isinstance(gate, MaxDropGate | MinValueGate | BeatsConstantGate)
    ]
    named = {f"{place}.output": [gate.output] for place, gate in asked if gate.output is not None}
    named |= {
        f"training.{field}": list(given)
        for field in ("loss", "metrics", "loss_weights")
        if isinstance(given := getattr(config, field), dict)
    }
    names = [spec.name for spec in outputs]
    for place, given in named.items():
        _check_names(given, names, place)
    chosen = {}
    for spec, tensor, wanted in zip(outputs, model.outputs, targets, strict=True):
        gated = [
            gate.metric
            for _, gate in asked
            if gate.metric is not None and (len(names) == 1 or gate.output == spec.name)
        ]
        of = f" ({spec.name})" if len(names) > 1 else ""
        chosen[spec.name] = _choose_one(config, spec, last_activation(tensor), wanted, gated, of)
    for place, gate in asked:
        anywhere = gate.output is None and gate.metric not in ("loss", None)
        if anywhere and not any(gate.metric in it.metric_names for it in chosen.values()):
            raise InputError(
                f"The metric {gate.metric} is measured for none of the outputs {', '.join(names)}.",
                where=f"{place}.metric",
                hint="Name the gate's output, or add the metric to training.metrics.",
            )
    return chosen


def _check_names(given: Iterable[str], names: Sequence[str], where: str) -> None:
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(
            f"The model has no output {', '.join(unknown)}; its outputs: {', '.join(names)}.",
            where=where,
            hint="Name one of these.",
        )


def _choose_one(
    config: TrainingConfig,
    output: TensorSpec,
    ends_in: str,
    targets: NDArray[np.generic],
    gated: Sequence[str],
    of: str,
) -> Objective:
    """The objective of one output; ``of`` says in messages which one it is."""
    given = config.loss_of(output.name)
    if given is None:
        loss, why = _infer_loss(output.shape, targets, ends_in)
        asked_logits = None
    else:
        loss, why = given.type, "the manifest names the loss"
        asked_logits = given.from_logits
    logits = None
    if loss in CROSSENTROPIES:
        logits = ends_in not in ("softmax", "sigmoid") if asked_logits is None else asked_logits
        if asked_logits is None:
            why += f"; the model ends in {ends_in}, so from_logits is {str(logits).lower()}"
    listed = config.metrics_of(output.name)
    asked = [*(listed or _infer_metrics(loss)), *gated]
    metrics = tuple(dict.fromkeys(metric for metric in asked if metric != "loss"))
    for metric in metrics:
        if loss not in MEANINGFUL.get(metric, LOSSES):
            raise InputError(
                f"The metric {metric} has no meaning for the loss {loss} ({why}).",
                where=("gates" if metric in gated else "training.metrics") + of,
                hint=f"With {loss} these can be measured: {', '.join(_meaningful(loss))}.",
            )
    if listed is None:
        why += f"; {', '.join(metrics)} goes with that loss"
    return Objective(loss, logits, metrics, why, config.loss_weights.get(output.name, 1.0))


def last_activation(output: Any) -> str:
    """The activation that an output of a model comes from: ``linear`` where there is none."""
    history = output._keras_history  # noqa: SLF001 - how Keras finds it too
    while isinstance(history.layer, tf_keras.Model):
        history = history.layer.outputs[history.tensor_index]._keras_history  # noqa: SLF001 - as above
    layer = history.layer
    if isinstance(layer, tf_keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", "linear") if activation is not None else "linear"


def _infer_loss(
    shape: tuple[int | None, ...], targets: NDArray[np.generic], ends_in: str
) -> tuple[str, str]:
    units = (shape[-1] if shape else 1) or 1
    sizes = targets.shape[1:]
    kind = "whole numbers" if targets.dtype.kind in "biu" else "fractions"
    rows = targets.reshape(len(targets), -1)
    if targets.dtype.kind == "f" and bool((rows == np.rint(rows)).all()):
        kind = "whole numbers"
    binary = kind == "whole numbers" and bool(((rows == 0) | (rows == 1)).all())
    is_index = fits(shape[:-1], sizes) or fits((*shape[:-1], 1), sizes)
    if kind == "whole numbers" and units > 1 and is_index:
        return (
            "sparse_categorical_crossentropy",
            f"the targets are class indices for the model's {units} outputs",
        )
    if binary and units > 1 and fits(shape, sizes):
        one_hot = bool((targets.sum(axis=-1) == 1).all()) and ends_in != "sigmoid"
        if one_hot:
            return "categorical_crossentropy", "the targets are one-hot rows"
        return "binary_crossentropy", "the targets are 0 and 1, any number of them in a row"
    if binary and units == 1:
        return "binary_crossentropy", "the targets are 0 and 1 for one output"
    return "mean_squared_error", f"the targets are {kind}, one for each of the model's outputs"


def _meaningful(loss: str) -> list[str]:
    return [metric for metric in ("accuracy", *METRICS) if loss in MEANINGFUL.get(metric, LOSSES)]


def _infer_metrics(loss: str) -> tuple[str, ...]:
    return ("accuracy",) if loss in ACCURACY else ("mean_absolute_error",)
