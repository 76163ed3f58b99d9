"""Which layers can be pruned, how far, and why not: decided before anything is changed."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from job.artifact import LayerResult
from job.errors import InputError
from job.manifest.prune import LayerRule, PruneConfig
from job.models import prunable
from job.models.names import users_name
from job.result import TensorSpec


@dataclass(frozen=True)
class LayerPlan:
    """What is to be done with a layer that has weights."""

    name: str
    """The layer's path: ``dense``, or ``branch/dense`` in a nested model."""
    type: str
    parameters: int
    prunable_weights: int
    target_sparsity: float | None
    """None where the layer is left alone."""
    reason: str


def layers_of(model: tf_keras.Model) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Every layer that is no model, of nested models too, each once, in the model's order.

    Yields:
        The layer's path, and the layer. The path is its name; in a nested model ``branch/dense``,
        since two nested models may hold layers of one name.
    """
    seen: set[int] = set()

    def walk(inner: tf_keras.Model, prefix: str) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
        for layer in inner.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if isinstance(layer, tf_keras.Model):
                yield from walk(layer, f"{prefix}{layer.name}/")
            else:
                yield f"{prefix}{layer.name}", layer

    yield from walk(model, "")


def plan_layers(model: tf_keras.Model, config: PruneConfig) -> list[LayerPlan]:
    """Decide for each layer that has weights.

    A wrapper (``TimeDistributed``, ``Bidirectional``) is one layer, with one target for what is
    inside it. What is to be pruned is given the method by which tfmot finds its kernels.

    Args:
        model: The trained model.
        config: What the manifest asks.

    Returns:
        One plan for each layer with weights, in the model's order.
    """
    return [_plan(path, layer, config) for path, layer in layers_of(model) if layer.weights]


def default_target(config: PruneConfig) -> float:
    """The sparsity that a layer without a rule of its own ends with."""
    if config.structure.type == "m_by_n":
        m, n = config.structure.sparsity_m_by_n
        return m / n
    if config.schedule.type == "constant":
        return config.schedule.target_sparsity
    return config.schedule.final_sparsity


def unmatched_rules(plans: list[LayerPlan], config: PruneConfig) -> list[LayerRule]:
    """The rules that fit no layer: most likely a misspelt name."""
    return [
        rule
        for rule in config.layers
        if not any(_fits(rule, users_name(plan.name), plan.type) for plan in plans)
    ]


def _plan(path: str, layer: tf_keras.layers.Layer, config: PruneConfig) -> LayerPlan:
    kind = type(layer).__name__
    shapes = [tuple(kernel.shape) for kernel in prunable.kernels(layer)]
    weights = sum(math.prod(shape) for shape in shapes)
    rule = next((it for it in config.layers if _fits(it, users_name(path), kind)), None)
    target: float | None = default_target(config)
    dense = "; ".join(prunable.why_dense(layer))
    reason = _obstacle(shapes, config) if shapes else dense
    if rule is not None and rule.skip:
        reason = f"a rule skips it ({_describe(rule)})"
    elif rule is not None:
        target = rule.target_sparsity
    elif not reason and weights < config.min_weights:
        reason = f"it has {weights} prunable weights, fewer than min_weights ({config.min_weights})"
    if not reason:
        prunable.make_prunable(layer)
    why = f"a rule fits it ({_describe(rule)})" if rule else "the schedule"
    return LayerPlan(
        name=path,
        type=kind,
        parameters=int(layer.count_params()),
        prunable_weights=weights,
        target_sparsity=None if reason else target,
        reason=reason or (f"{why}; but inside it: {dense}" if dense else why),
    )


def _obstacle(shapes: list[tuple[int, ...]], config: PruneConfig) -> str:
    """Why kernels of these shapes can't be pruned in the structure asked for; "" where they can."""
    if config.structure.type == "block":
        if any(len(shape) != 2 or 1 in shape for shape in shapes):
            return f"blocks need a kernel of two dimensions, this one has {_shapes(shapes)}"
        rows, columns = config.structure.block_size
        # tfmot can't handle a mask that is one block high or wide.
        if any(-(-shape[0] // rows) == 1 or -(-shape[1] // columns) == 1 for shape in shapes):
            return f"blocks of {rows}x{columns} are too large for the kernel, {_shapes(shapes)}"
    elif config.structure.type == "m_by_n":
        _, n = config.structure.sparsity_m_by_n
        if any(len(shape) not in (2, 4) or shape[-2] % n for shape in shapes):
            return f"m_by_n needs an input axis that {n} divides, the kernel is {_shapes(shapes)}"
    return ""


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join("x".join(str(size) for size in shape) for shape in shapes)


def _fits(rule: LayerRule, name: str, kind: str) -> bool:
    own = name.rpartition("/")[2]  # a pattern may mean the path or the layer's own name
    by_name = rule.name is None or any(fnmatch.fnmatchcase(it, rule.name) for it in (name, own))
    return by_name and (rule.type is None or rule.type == kind)


def _describe(rule: LayerRule) -> str:
    parts = [("name", rule.name), ("type", rule.type)]
    return ", ".join(f"{key} {value}" for key, value in parts if value is not None)


def targets(plans: Sequence[LayerPlan], model_uri: str) -> dict[str, float]:
    """Layer name -> the sparsity that it is to end with.

    Raises:
        InputError: Where no layer is to be pruned, with each layer's reason.
    """
    found = {it.name: it.target_sparsity for it in plans if it.target_sparsity is not None}
    if not found:
        reasons = "\n".join(
            f"  {users_name(plan.name)} ({plan.type}): {plan.reason}" for plan in plans
        )
        raise InputError(
            f"No layer of the model can be pruned:\n{reasons or '  it has no weights'}",
            where=model_uri,
            hint='Change the rules or min_weights, or set "prune": null to quantize only.',
        )
    return found


def results(plans: Sequence[LayerPlan], model: tf_keras.Model) -> list[LayerResult]:
    """What became of the plans in the pruned model."""
    layers = dict(layers_of(model))
    return [
        LayerResult(
            name=users_name(plan.name),
            type=plan.type,
            parameters=plan.parameters,
            prunable_weights=plan.prunable_weights,
            pruned=plan.target_sparsity is not None,
            reason=plan.reason,
            target_sparsity=plan.target_sparsity,
            achieved_sparsity=_zeros(it.numpy() for it in prunable.kernels(layers[plan.name])),
        )
        for plan in plans
    ]


def _zeros(kernels: Iterable[np.ndarray]) -> float:
    zeros = total = 0
    for kernel in kernels:
        zeros += kernel.size - int(np.count_nonzero(kernel))
        total += kernel.size
    return zeros / total if total else 0.0


def scales_inputs(model: tf_keras.Model) -> bool:
    """Whether a layer of the model scales its inputs, so that the data need not be scaled."""
    return any(type(it).__name__ in ("Rescaling", "Normalization") for _, it in layers_of(model))


def signature(model: tf_keras.Model, where: str) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """The model's inputs and its outputs, each in the model's order.

    Outputs in a dict are called by its keys, others by their layers.

    Raises:
        InputError: Where they are of a kind that is not supported: lists or dicts inside of others,
            texts, ragged tensors, a fixed batch size.
    """
    specs: list[TensorSpec] = []
    count = len(model.inputs)
    names = [*model.input_names, *_output_names(model, where)]
    for name, tensor in zip(names, [*model.inputs, *model.outputs], strict=True):
        kind = tensor.type_spec
        is_flag = len(specs) < count and kind.dtype.is_bool  # an input that is a mask
        if not isinstance(kind, tf.TensorSpec) or not (
            kind.dtype.is_floating or kind.dtype.is_integer or is_flag
        ):
            raise InputError(
                f"{name} is a {type(kind).__name__} of {kind.dtype.name}; numbers in plain tensors "
                "are supported.",
                where=where,
                hint="Do the preprocessing of texts and ragged data outside the model.",
            )
        if tensor.shape[0] is not None:
            raise InputError(
                f"{name} has the fixed batch size {tensor.shape[0]}, which an operator inside the "
                "model sets, whatever the inputs have.",
                where=where,
                hint="Build the model without a batch size: -1 instead of the number in a reshape.",
            )
        specs.append(TensorSpec(name, tuple(tensor.shape[1:]), kind.dtype.name))
    return specs[:count], specs[count:]


def _output_names(model: tf_keras.Model, where: str) -> list[str]:
    """In the order of ``tf.nest.flatten``, which sorts a dict by its keys."""
    output = model.output
    if not tf.nest.is_nested(output):
        return [users_name(name) for name in model.output_names]
    is_dict = isinstance(output, Mapping)
    if any(tf.nest.is_nested(it) for it in (output.values() if is_dict else output)):
        raise InputError(
            "The model answers with lists or dicts inside of others; a tensor, or one list or dict "
            "of tensors is supported.",
            where=where,
            hint="Make a model whose outputs are one list or one dict.",
        )
    return sorted(output) if is_dict else [users_name(name) for name in model.output_names]
