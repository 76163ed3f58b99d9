"""What no interpreter needs of a ``.tflite`` to run it, each left out by a function of its own.

Every function changes a model in place and says whether it changed anything. None touches a value
that is computed with; that the outputs stay the same bit for bit is checked by who calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from job.tflite import flat
from job.tflite.blocks import details_of

# The first buffer is empty by the schema's rule: tensors without data refer to it.
EMPTY = 0
# The tensors that blockwise scales name; -1 is none.
OF_BLOCKS = ("scales", "zeroPoints")
# Activations that an operator applies to what it computes: none.
NO_ACTIVATION = schema.ActivationFunctionType.NONE


def without_unused_buffers(model: Any) -> bool:
    """Each different content once, in the order of use; tensors without data share buffer 0."""
    kept: list[Any] = [schema.BufferT()]
    places: dict[bytes, int] = {}

    def place(index: int) -> int:
        data = model.buffers[index].data
        if data is None or not len(data):
            return EMPTY
        content = np.asarray(data, np.uint8).tobytes()
        if content not in places:
            kept.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
            places[content] = len(kept) - 1
        return places[content]

    before = len(model.buffers)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place(tensor.buffer)
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
    model.metadataBuffer = None
    model.buffers = kept
    return len(kept) != before


def without_names(model: Any) -> bool:
    """No names of tensors and graphs, no signature, no metadata, no description."""
    model.signatureDefs = model.metadata = model.metadataBuffer = model.description = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
    return True


def without_hints(model: Any) -> bool:
    """No ranges, empty quantization and shapes that are said twice; an open batch is still said of
    inputs and outputs.
    """
    for graph in model.subgraphs:
        ends = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            tensor.hasRank = False
            if index not in ends or tensor.shapeSignature is None:
                tensor.shapeSignature = None
            quantization = tensor.quantization
            if quantization is None:
                continue
            quantization.min = quantization.max = None
            if quantization.scale is None or not len(quantization.scale):
                tensor.quantization = quantization if quantization.details else None
    return True


def with_shapes_in_options(model: Any) -> bool:
    """A RESHAPE to a constant shape has it as an option, not as a tensor."""
    changed = False
    for graph, operator in flat.operators(model):
        if flat.kind(model, operator) != "RESHAPE" or len(operator.inputs) < 2:
            continue
        sizes = flat.constant(model, graph.tensors[operator.inputs[1]])
        if sizes is None or sizes.ndim != 1 or not sizes.size:
            continue
        operator.inputs = np.asarray(operator.inputs[:1], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT(newShape=sizes.astype(np.int32))
        changed = True
    return changed


def without_flatten(model: Any) -> bool:
    """No RESHAPE that flattens each row before a FULLY_CONNECTED, which does so by itself."""
    changed = False
    for graph in model.subgraphs:
        removed = []
        for operator in graph.operators or []:
            if flat.kind(model, operator) != "RESHAPE":
                continue
            source, target = int(operator.inputs[0]), int(operator.outputs[0])
            users = [it for it in graph.operators if target in it.inputs]
            before, after = (flat.shape(graph.tensors[it]) for it in (source, target))
            signature = graph.tensors[source].shapeSignature
            is_fixed = signature is None or not (np.asarray(signature) < 0).any()
            flattens = len(after) == 2 and len(before) > 2 and before[0] == after[0]
            if not (flattens and is_fixed and users and target not in graph.outputs):
                continue
            if all(_flattens(model, graph, it, target) for it in users):
                for user in users:
                    user.inputs = np.where(np.asarray(user.inputs) == target, source, user.inputs)
                removed.append(operator)
        graph.operators = [it for it in graph.operators or [] if not any(it is r for r in removed)]
        changed |= bool(removed)
    return changed


def _flattens(model: Any, graph: Any, operator: Any, tensor: int) -> bool:
    """Whether an operator takes a tensor as the rows of a matrix, whatever its shape."""
    return (
        flat.kind(model, operator) == "FULLY_CONNECTED"
        and int(operator.inputs[0]) == tensor
        and not operator.builtinOptions.keepNumDims
        and graph.tensors[tensor].type == schema.TensorType.FLOAT32
    )


def without_unused_tensors(model: Any) -> bool:
    """Tensors that an operator, the graph or another tensor refers to, in their order; codes
    likewise.
    """
    changed = False
    for graph in model.subgraphs:
        used = {int(index) for it in [graph, *(graph.operators or [])] for index in _references(it)}
        used |= _scales(graph, used)
        kept = [index for index in range(len(graph.tensors)) if index in used]
        changed |= len(kept) < len(graph.tensors)
        places = {old: new for new, old in enumerate(kept)} | {-1: -1}
        graph.tensors = [graph.tensors[index] for index in kept]
        for referring in [graph, *(graph.operators or [])]:
            for field in ("inputs", "outputs", "intermediates"):
                old = getattr(referring, field, None)
                if old is not None:
                    new = np.array([places[int(index)] for index in old], np.int32)
                    setattr(referring, field, new)
        _renumber_scales(graph, places)
        for signature in model.signatureDefs or []:
            if model.subgraphs[signature.subgraphIndex] is graph:
                for named in (*signature.inputs, *signature.outputs):
                    named.tensorIndex = places[named.tensorIndex]
    used_codes = sorted({it.opcodeIndex for _, it in flat.operators(model)})
    changed |= len(used_codes) < len(model.operatorCodes)
    model.operatorCodes = [model.operatorCodes[index] for index in used_codes]
    for _, operator in flat.operators(model):
        operator.opcodeIndex = used_codes.index(operator.opcodeIndex)
    return changed


def _scales(graph: Any, used: set[int]) -> set[int]:
    """The tensors that the blockwise scales of those that are used are in."""
    details = [details_of(tensor) for index, tensor in enumerate(graph.tensors) if index in used]
    return {int(getattr(it, field)) for it in details if it is not None for field in OF_BLOCKS}


def _renumber_scales(graph: Any, places: Mapping[int, int]) -> None:
    for details in filter(None, map(details_of, graph.tensors)):
        for field in OF_BLOCKS:
            setattr(details, field, places[int(getattr(details, field))])


def _references(referring: Any) -> list[int]:
    found = [*referring.inputs, *referring.outputs]
    intermediates = getattr(referring, "intermediates", None)
    return found if intermediates is None else [*found, *intermediates]


def ordered(model: Any, inputs: list[str], outputs: list[str]) -> bool:
    """Give the graph's inputs and outputs the order of these names of its signature."""
    if not model.signatureDefs:
        return False
    (signature,) = model.signatureDefs
    graph = model.subgraphs[signature.subgraphIndex]
    before = [*graph.inputs, *graph.outputs]
    for names, given, field in (
        (inputs, signature.inputs, "inputs"),
        (outputs, signature.outputs, "outputs"),
    ):
        places = {it.name.decode(): int(it.tensorIndex) for it in given}
        setattr(graph, field, np.array([places[name] for name in names], np.int32))
    return before != [*graph.inputs, *graph.outputs]
