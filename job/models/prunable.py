"""Which layers can be pruned, to which sparsity, and why not: planned before anything is changed.

tfmot knows the kernels of most of Keras's layers, but refuses ``TimeDistributed`` and
``Bidirectional``. However, it prunes any layer with a method ``get_prunable_weights`` (its
interface ``PrunableLayer``), so a wrapper gets one that lists the kernels inside it.
"""

from __future__ import annotations

import fnmatch
import glob
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

from job.errors import InputError
from job.manifest.prune import PruneConfig
from job.models.layers import layers_of, users_name
from job.result.artifact import LayerResult

layers = tf_keras.layers

# Kernels that tfmot does not know; of recurrent layers they are the cell's.
MORE_KERNELS: dict[type[tf_keras.layers.Layer], tuple[str, ...]] = {
    layers.Conv1DTranspose: ("kernel",),
    layers.EinsumDense: ("kernel",),
    layers.ConvLSTM1D: ("kernel", "recurrent_kernel"),
    layers.ConvLSTM2D: ("kernel", "recurrent_kernel"),
    layers.ConvLSTM3D: ("kernel", "recurrent_kernel"),
}
# Constraints that only scale weights or set some to zero: zeros stay zeros.
KEEP_ZEROS = ("NonNeg", "MaxNorm", "UnitNorm", "MinMaxNorm")


@dataclass(frozen=True)
class LayerPlan:
    """The plan for a layer that has weights."""

    name: str
    """The layer's path: ``dense``, or ``branch/dense`` in a nested model."""
    type: str
    parameters: int
    prunable_weights: int
    target_sparsity: float | None
    """None if the layer is not pruned."""
    reason: str
    by_rule: bool = False
    """Whether a rule of the manifest says so."""


def kernels(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The variables of a built layer, or of the layers inside it, that can be pruned, each once."""
    if not layer.weights or not layer.trainable:
        return []
    inner = _inside(layer)
    if inner is not None:
        found = {id(it): it for part in inner for it in kernels(part)}
        return list(found.values())
    if hasattr(layer, "prunable_kernels"):  # a layer that calls a Keras 3 layer
        return list(layer.prunable_kernels())
    if type(layer) in MORE_KERNELS:
        owner = getattr(layer, "cell", layer)
        own = [getattr(owner, name) for name in MORE_KERNELS[type(layer)]]
    elif PruneRegistry.supports(layer):
        own = PruneRegistry.make_prunable(layer).get_prunable_weights()
    else:
        return []
    return [kernel for kernel in own if not _breaks(kernel)]


def make_prunable(layer: tf_keras.layers.Layer) -> None:
    """Give a layer the method with which tfmot finds its kernels."""
    layer.get_prunable_weights = lambda: kernels(layer)


def why_dense(layer: tf_keras.layers.Layer) -> list[str]:
    """Why weights of a layer, or of the layers inside it, can't be pruned; each reason once."""
    if not layer.weights:
        return []
    kind = type(layer).__name__
    if not layer.trainable:
        return [f"this {kind} layer is frozen (trainable is false)"]
    inner = _inside(layer)
    if inner is not None:
        reasons = [reason for part in inner for reason in why_dense(part)]
        return list(dict.fromkeys(reasons))
    if kernels(layer):
        return []
    broken = sorted({type(it.constraint).__name__ for it in layer.weights if _breaks(it)})
    if broken:
        return [f"{', '.join(broken)} and zeros can't both be had: it makes weights of zeros"]
    if PruneRegistry.supports(layer):
        return [f"tfmot leaves the weights of {kind} layers dense"]
    return [f"tfmot can't prune layers of the type {kind}"]


def _breaks(weight: tf.Variable) -> bool:
    """Whether a weight has a constraint that makes weights of zeros."""
    constraint = getattr(weight, "constraint", None)
    return constraint is not None and type(constraint).__name__ not in KEEP_ZEROS


def _inside(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer] | None:
    """The layers of a wrapper or a model; None for any other layer."""
    if isinstance(layer, layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if isinstance(layer, layers.Wrapper):
        return [layer.layer]
    if isinstance(layer, tf_keras.Model):
        return list(layer.layers)
    return None


def plan_layers(model: tf_keras.Model, config: PruneConfig) -> list[LayerPlan]:
    """Plan each layer that has weights, in the model's order.

    A wrapper (``TimeDistributed``, ``Bidirectional``) is one layer, with one target for everything
    inside it. Layers to be pruned get the method with which tfmot finds their kernels.
    """
    return [_plan(path, layer, config) for path, layer in layers_of(model) if layer.weights]


def default_target(config: PruneConfig) -> float:
    """The final sparsity of a layer without a rule."""
    if config.structure.type == "m_by_n":
        m, n = config.structure.sparsity_m_by_n
        return m / n
    if config.schedule.type == "constant":
        return config.schedule.target_sparsity
    return config.schedule.final_sparsity


def _plan(path: str, layer: tf_keras.layers.Layer, config: PruneConfig) -> LayerPlan:
    kind = type(layer).__name__
    shapes = [tuple(kernel.shape) for kernel in kernels(layer)]
    weights = sum(math.prod(shape) for shape in shapes)
    rule = next((it for it in config.rules if fits(it, users_name(path), kind)), None)
    target: float | None = default_target(config)
    dense = "; ".join(why_dense(layer))
    reason = _obstacle(shapes, config) if shapes else dense
    if rule is not None and rule.skip:
        reason = f"a rule skips it ({describe(rule)})"
    elif rule is not None:
        target = rule.target_sparsity
    elif not reason and weights < config.min_weights:
        reason = f"it has {weights} prunable weights, fewer than min_weights ({config.min_weights})"
    if not reason:
        make_prunable(layer)
    why = f"a rule fits it ({describe(rule)})" if rule else "the schedule"
    return LayerPlan(
        name=path,
        type=kind,
        parameters=int(layer.count_params()),
        prunable_weights=weights,
        target_sparsity=None if reason else target,
        reason=reason or (f"{why}; but inside it: {dense}" if dense else why),
        by_rule=rule is not None,
    )


def _obstacle(shapes: list[tuple[int, ...]], config: PruneConfig) -> str:
    """Why kernels of these shapes can't be pruned in the requested structure; "" if they can."""
    described = " and ".join("x".join(str(size) for size in shape) for shape in shapes)
    if config.structure.type == "block":
        if any(len(shape) != 2 or 1 in shape for shape in shapes):
            return f"blocks need a kernel of two dimensions, this one has {described}"
        rows, columns = config.structure.block_size
        # tfmot can't handle a mask that is one block high or wide.
        if any(-(-shape[0] // rows) == 1 or -(-shape[1] // columns) == 1 for shape in shapes):
            return f"blocks of {rows}x{columns} are too large for the kernel, {described}"
    elif config.structure.type == "m_by_n":
        _, n = config.structure.sparsity_m_by_n
        if any(len(shape) not in (2, 4) or shape[-2] % n for shape in shapes):
            return f"m_by_n needs an input axis that {n} divides, the kernel is {described}"
    return ""


class Rule(Protocol):
    """A rule of the manifest for some layers."""

    @property
    def name(self) -> str | None:
        """A layer name, or a pattern."""

    @property
    def type(self) -> str | None:
        """A layer class."""


def unmatched(rules: Sequence[Rule], layers_by_name: Mapping[str, str], where: str) -> list[str]:
    """Warnings of rules that fit no layer: most likely a misspelt name.

    Args:
        rules: The rules.
        layers_by_name: The name that the user knows -> the class, of every layer.
        where: The rules' JSON path.
    """
    return [
        f"{where}.{index} fits no layer ({describe(rule)})."
        for index, rule in enumerate(rules)
        if not any(fits(rule, name, kind) for name, kind in layers_by_name.items())
    ]


def fits(rule: Rule, name: str, kind: str) -> bool:
    """Whether a rule is for a layer of this path, as the user knows it, and this class.

    A pattern may mean the path or the layer's own name; with a slash before it, the path alone.
    """
    names = (name, name.rpartition("/")[2], f"/{name}")
    by_name = rule.name is None or any(fnmatch.fnmatchcase(it, rule.name) for it in names)
    return by_name and (rule.type is None or rule.type == kind)


def exactly(name: str, names: Collection[str]) -> str:
    """The pattern that fits one layer alone.

    Args:
        name: Its path, as the user knows it.
        names: Those of all layers.
    """
    is_shared = any(it != name and it.rpartition("/")[2] == name for it in names)
    return "/" * is_shared + glob.escape(name)


def describe(rule: Rule) -> str:
    """A rule for messages: ``name conv_*, type Conv2D``."""
    parts = [("name", rule.name), ("type", rule.type)]
    return ", ".join(f"{key} {value}" for key, value in parts if value is not None)


def targets(plans: Sequence[LayerPlan], model_uri: str) -> dict[str, float]:
    """Layer name -> its final sparsity.

    Raises:
        InputError: If no layer is to be pruned, with each layer's reason.
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
    """The plans, with the sparsity that the pruned model has."""
    by_path = dict(layers_of(model))
    return [
        LayerResult(
            name=users_name(plan.name),
            type=plan.type,
            parameters=plan.parameters,
            prunable_weights=plan.prunable_weights,
            pruned=plan.target_sparsity is not None,
            reason=plan.reason,
            target_sparsity=plan.target_sparsity,
            achieved_sparsity=_sparsity([it.numpy() for it in kernels(by_path[plan.name])]),
        )
        for plan in plans
    ]


def _sparsity(found: Sequence[np.ndarray]) -> float:
    total = sum(kernel.size for kernel in found)
    zeros = total - sum(int(np.count_nonzero(kernel)) for kernel in found)
    return zeros / total if total else 0.0
