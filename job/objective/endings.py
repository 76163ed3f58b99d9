"""What a model's outputs are, by its graph: probabilities, logits, or unknown.

The last layer says little: an ``Average`` of softmaxes, a ``Reshape`` after a sigmoid, and a nested
model that ends in one, all give probabilities. So the graph is followed back from each output,
through what preserves probabilities, to the activations that they come from. The outputs for rows
of the data check what the graph says (``evidence``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import tensorflow as tf
import tf_keras

from job.objective.calls import Call
from job.objective.function_rules import of_function, of_operation
from job.objective.layer_rules import LAYERS, merged
from job.objective.values import INF, UNKNOWN, Values

Kind = Literal[
    "distribution",  # sums to one along the last axis
    "other_axis",  # sums to one along another axis
    "probabilities",  # each in 0..1
    "log_distribution",  # the logarithm of a distribution along the last axis
    "log_probabilities",
    "unbounded",  # any number: logits, or a regression
    "bounded",  # another activation: a tanh, a ReLU
    "unknown",
]
# Where a tensor comes from: (layer, call, output of the call).
Origin = tuple[int, int, int]
# Layers whose calls are functions of TensorFlow.
FUNCTIONS = ("TFOpLambda", "SlicingOpLambda")
# Packages whose layers do what their class names say; paredown's are Keras's with other masks.
KNOWN_PACKAGES = ("tf_keras.", "keras.", "job.models.")


@dataclass(frozen=True)
class Ending:
    """What the graph says of an output."""

    kind: Kind
    low: float
    high: float
    text: str
    """A part of a sentence: "the model ends in softmax"."""
    names: tuple[str, ...] = ()
    """The activations that it comes from."""

    @property
    def is_unit(self) -> bool:
        """Whether the graph says that all values are in 0..1."""
        return self.kind in ("distribution", "other_axis", "probabilities")


def ending(output: Any) -> Ending:
    """What the graph says of an output, one of ``model.outputs``."""
    try:
        values = _Walk({}).values(output)
    except RecursionError:
        values = UNKNOWN
    kind = _kind(values, len(output.shape) - 1)
    last = output._keras_history.layer  # noqa: SLF001 - how Keras finds it too
    return Ending(kind, values.low, values.high, _text(kind, values, last), values.names)


def _kind(values: Values, last: int) -> Kind:
    if not values.is_known:
        return "unknown"
    if values.is_log:
        return "log_distribution" if values.axis == last else "log_probabilities"
    if values.is_distribution:
        return "distribution" if values.axis == last else "other_axis"
    if values.in_unit:
        return "probabilities"
    return "unbounded" if values.low == -INF and values.high == INF else "bounded"


def _text(kind: Kind, values: Values, last: tf_keras.layers.Layer) -> str:
    names = " and ".join(values.names) or "linear"
    through = type(last).__name__
    function = str(last.get_config().get("function", "")) if through in FUNCTIONS else ""
    made = [through.lower(), function.rpartition(".")[2]]
    is_own = hasattr(last, "activation") or any(it in values.names for it in made)
    kept = f", kept by {through} {last.name}" if values.names and not is_own else ""
    match kind:
        case "unknown":
            return f"the graph does not tell the values of {through} {last.name}"
        case "other_axis":
            return f"the model ends in {names} over axis {values.axis}, not the last{kept}"
        case "log_distribution" | "log_probabilities":
            return f"the model ends in log-probabilities ({names}{kept})"
        case "bounded":
            return f"the model ends in {names}, from {values.low:g} to {values.high:g}{kept}"
        case "unbounded":
            return f"the model ends in {through} {last.name}, which gives any number"
    return f"the model ends in {names}{kept}"


class _Walk:
    """The graph of one model, or of one call of a nested one."""

    def __init__(self, given: Mapping[Origin, Values]) -> None:
        self._found = dict(given)

    def values(self, tensor: Any) -> Values:
        """What is known of a tensor of the graph."""
        origin = _origin(tensor)
        if origin not in self._found:
            self._found[origin] = self._made(tensor)
        return self._found[origin]

    def _made(self, tensor: Any) -> Values:
        history = tensor._keras_history  # noqa: SLF001 - how Keras finds it too
        node = history.layer._inbound_nodes[history.node_index]  # noqa: SLF001 - as above
        call = Call(
            layer=history.layer,
            arguments=tuple(node.call_args or ()),
            keywords=dict(node.call_kwargs or {}),
            output=tensor,
            index=history.tensor_index,
            of=self.values,
        )
        return _of_layer(call) if call.tensors else UNKNOWN


def _origin(tensor: Any) -> Origin:
    history = tensor._keras_history  # noqa: SLF001 - how Keras finds it too
    return id(history.layer), history.node_index, history.tensor_index


def _of_layer(call: Call) -> Values:
    layer = call.layer
    kind = type(layer)
    if isinstance(layer, tf_keras.Model):
        return _of_model(layer, call)
    if kind.__name__ == "Keras3Operation":
        operation, arguments, named = layer.filled(call.arguments[0])
        return of_operation(replace(call, layer=operation, arguments=arguments, keywords={**named}))
    if hasattr(layer, "in_keras3"):
        return _of_layer(replace(call, layer=layer.in_keras3()))
    if not kind.__module__.startswith(KNOWN_PACKAGES):
        return UNKNOWN
    if kind.__name__ in FUNCTIONS:
        return of_function(layer.get_config()["function"], call)
    if kind.__name__ == "TimeDistributed":
        return _of_steps(call)
    if kind.__name__ == "Bidirectional":
        ways = [replace(call, layer=it) for it in (layer.forward_layer, layer.backward_layer)]
        return merged(layer.merge_mode, [_of_layer(it) for it in ways], call.last)
    rule = LAYERS.get(kind.__name__)
    return UNKNOWN if rule is None else rule(call)


def _of_model(model: tf_keras.Model, call: Call) -> Values:
    """A nested model's output, whose inputs are those of the call."""
    if not getattr(model, "outputs", None):
        return UNKNOWN
    given = dict(zip(map(_origin, model.inputs), call.given, strict=False))
    return _Walk(given).values(model.outputs[call.index])


def _of_steps(call: Call) -> Values:
    """A layer or model that is called on each step: there is one axis fewer inside."""

    def step(values: Values, by: int) -> Values:
        if values.axis is None:
            return values
        return values.moved(values.axis + by if values.axis + min(by, 0) > 0 else None)

    def of(tensor: Any) -> Values:
        return step(call.of(tensor.whole), -1)

    inner = replace(
        call,
        layer=call.layer.layer,
        arguments=tuple(_Step(it) for it in call.tensors),
        keywords={},
        output=_Step(call.output),
        of=of,
    )
    return step(_of_layer(inner), 1)


class _Step:
    """A tensor of the graph without the axis of steps."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole
        self._keras_history = whole._keras_history  # noqa: SLF001 - it stands in for the tensor
        self.dtype = whole.dtype

    @property
    def shape(self) -> tf.TensorShape:
        """The shape without the second axis."""
        shape = list(self.whole.shape)
        return tf.TensorShape([shape[0], *shape[2:]])
