"""Change the dtypes of a model's inputs, where that changes no value.

``int8`` and ``int16x8`` quantize floats. Two kinds of inputs need another dtype for that:

- Numbers that come as integers (``uint8`` images before a ``Rescaling``) are cast to float in the
  model, and the converter leaves that cast in float. Here the cast is removed and the input is
  float: it is quantized like the rest, and for bytes its scale is 1.
- Indices that come as floats (token ids of an ``Embedding`` whose input has no dtype) are cast to
  integers in the model. Quantized, they would become other indices. Here the input is ``int32``;
  so are indices in bytes for ``int16x8``, which has no cast.

An input is changed only where the operators before the cast just move values.

The other variants keep their inputs' dtypes; for them the cast is moved before such operators,
which have no kernels for some dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import graph_pb2, node_def_pb2

Array = NDArray[np.generic]
Function: TypeAlias = tf.types.experimental.ConcreteFunction

# Operators that only move the values of their first input -> the attribute with the dtype.
MOVES = dict.fromkeys(
    "Identity Reshape ExpandDims Squeeze Transpose StridedSlice Slice Pad MirrorPad Tile".split(),  # noqa: SIM905 - shorter
    "T",
) | {"GatherV2": "Tparams"}
# Operators that use only the shape.
SHAPES = ("Shape", "Size", "Rank")
FLOAT, INDEX = tf.float32, tf.int32
# The dtypes of indices.
INDICES = (tf.int32, tf.int64)
# The dtypes for which some operators of MOVES have no kernels.
NARROW = (tf.uint8, tf.int8, tf.int16, tf.uint16, tf.uint32, tf.bool)
# The values that bytes can have.
SPANS = {tf.uint8: (0, 255), tf.int8: (-128, 127), tf.bool: (0, 1)}


@dataclass(frozen=True)
class Retyped:
    """A function, and the new dtypes of its inputs, in their order."""

    function: Function
    dtypes: tuple[tf.DType, ...]
    spans: tuple[tuple[int, int] | None, ...]
    """The lowest and highest value of inputs that were bytes and are quantized."""

    def calibration(self, rows: Sequence[Array]) -> list[Array]:
        """Rows of the model's inputs, as inputs of the function.

        The lowest and the highest byte are put among them, so the scale is 1 whatever rows were
        drawn.
        """
        given = []
        for array, dtype, span in zip(rows, self.dtypes, self.spans, strict=True):
            cast = array.astype(dtype.as_numpy_dtype)
            if span is not None and cast.size > 1:
                cast.flat[0], cast.flat[-1] = span
            given.append(cast)
        return given


def retype(function: Function, *, casts_stay: bool) -> Retyped:
    """Change the dtypes of inputs of a traced function, where that changes no value.

    Args:
        function: A model as one function; its outputs are a dict.
        casts_stay: Whether the converter can cast one integer type to another.
    """
    before = [it.dtype for it in _arguments(function)]
    graph, dtypes = _with_dtypes(function, partial(_candidates, casts_stay=casts_stay))
    spans = [
        SPANS.get(was) if now == FLOAT else None for was, now in zip(before, dtypes, strict=True)
    ]
    if dtypes != before:
        function = _imported(function, graph, dtypes, dtypes)
    return Retyped(function, tuple(dtypes), tuple(spans))


def cast_first(function: Function) -> Function:
    """Move casts of narrow inputs to float before the operators that only move values.

    Args:
        function: A model as one function; its outputs are a dict.
    """
    before = [it.dtype for it in _arguments(function)]
    if not any(dtype in NARROW for dtype in before):
        return function
    graph, dtypes = _with_dtypes(function, lambda dtype: [FLOAT] if dtype in NARROW else [])
    return function if dtypes == before else _imported(function, graph, dtypes, before)


def _arguments(function: Function) -> Sequence[tf.Tensor]:
    return function.inputs[: len(function.inputs) - len(function.captured_inputs)]


def _with_dtypes(
    function: Function, candidates: Callable[[tf.DType], Sequence[tf.DType]]
) -> tuple[graph_pb2.GraphDef, list[tf.DType]]:
    """The graph in which each input has its first candidate dtype that changes no value, if any."""
    ends = [it.op.name for it in function.outputs]
    graph = tf.compat.v1.graph_util.extract_sub_graph(function.graph.as_graph_def(), ends)
    dtypes = []
    for argument in _arguments(function):
        now = argument.dtype
        for to in candidates(now):
            changed = _changed(graph, argument.op.name, to, ends)
            if changed is not None:
                graph, now = changed, to
                break
        dtypes.append(now)
    return graph, dtypes


def _candidates(dtype: tf.DType, *, casts_stay: bool) -> list[tf.DType]:
    """The dtypes that an input may get."""
    if dtype == FLOAT:
        return [INDEX]
    if not (dtype.is_integer or dtype.is_bool):
        return []
    is_cast = not casts_stay and dtype not in INDICES
    return [FLOAT, INDEX] if is_cast else [FLOAT]


def _changed(
    graph: graph_pb2.GraphDef, name: str, to: tf.DType, ends: Collection[str]
) -> graph_pb2.GraphDef | None:
    """The graph with another dtype for an input; None where that would change a value."""
    changed = graph_pb2.GraphDef()
    changed.CopyFrom(graph)
    moved, casts = set(), 0
    for node in changed.node:  # in the order in which they are computed
        if node.name == name:
            node.attr["dtype"].type = to.as_datatype_enum
            moved.add(name)
        read = [index for index, it in enumerate(node.input) if _source(it) in moved]
        if not read:
            continue
        if node.op not in SHAPES and (read != [0] or node.name in ends):
            return None
        if node.op == "Cast" and _is_last(node, to):
            casts += 1
        elif node.op == "Cast" and to == FLOAT and _keeps_values(node):
            node.attr["DstT"].type = to.as_datatype_enum
            moved.add(node.name)
        elif node.op in MOVES:
            moved.add(node.name)
        elif node.op not in SHAPES:
            return None
        node.attr[
            MOVES.get(node.op, "T") if node.op != "Cast" else "SrcT"
        ].type = to.as_datatype_enum
    return changed if casts else None


def _source(reference: str) -> str:
    """The node that an input refers to; none for a control input."""
    return reference.partition(":")[0]


def _is_last(cast: node_def_pb2.NodeDef, to: tf.DType) -> bool:
    """Whether an input of the dtype ``to`` makes this cast unnecessary."""
    target = tf.as_dtype(cast.attr["DstT"].type)
    return target == FLOAT if to == FLOAT else target in INDICES


def _keeps_values(cast: node_def_pb2.NodeDef) -> bool:
    """Whether a cast is to an integer type that holds all values of the source type."""
    before, after = (tf.as_dtype(cast.attr[key].type) for key in ("SrcT", "DstT"))
    if before.is_bool:
        return after.is_integer
    return after.is_integer and before.min >= after.min and before.max <= after.max


def _imported(
    function: Function,
    graph: graph_pb2.GraphDef,
    dtypes: Sequence[tf.DType],
    given_dtypes: Sequence[tf.DType],
) -> Function:
    """A function of a changed graph, with the variables of the original function.

    It takes inputs of ``given_dtypes``, and casts them to the graph's ``dtypes``.
    """
    count = len(dtypes)
    arguments, inner = function.inputs[:count], function.inputs[count:]
    there = {node.name for node in graph.node}
    names = sorted(function.structured_outputs)  # as they are flattened
    fed = {it.op.name for it in function.inputs}
    kept = [node for node in graph.node if node.name not in fed]
    for node in kept:
        node.attr.pop("_class", None)  # colocation with a node that was removed
    del graph.node[:]
    graph.node.extend(kept)
    specs = [
        tf.TensorSpec(it.shape, dtype, it.op.name)
        for it, dtype in zip(arguments, given_dtypes, strict=True)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def serving_default(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        capture = tf.compat.v1.get_default_graph().capture
        variables = [capture(it) for it in function.captured_inputs]
        cast = [tf.cast(it, dtype) for it, dtype in zip(inputs, dtypes, strict=True)]
        given = zip([*arguments, *inner], [*cast, *variables], strict=True)
        mapping = {old.name: new for old, new in given if old.op.name in there}
        answers = tf.graph_util.import_graph_def(
            graph, mapping, [it.name for it in function.outputs], name=""
        )
        return dict(zip(names, answers, strict=True))

    return serving_default.get_concrete_function()
