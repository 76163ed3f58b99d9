"""The memory that a microcontroller needs for a file's activations.

LiteRT for Microcontrollers places all tensors that are computed in one arena, so that those that
live at different times share bytes. Its planner (``greedy_memory_planner.cc`` of tflite-micro)
takes the largest tensor first and puts each into the first gap that is large enough among those
that live at the same time. Here the same is done; for the models tried the sums are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from job.tflite import flat

ALIGNMENT = 16


@dataclass(frozen=True)
class Lifetime:
    """A tensor that is computed, or given."""

    size: int
    """Bytes, aligned."""
    first: int
    """The step at which it is there: 0 is before the first operator."""
    last: int
    """The last step at which it is needed."""


def arena_bytes(content: bytes) -> int:
    """The arena that a file's tensors need, with open dimensions as 1.

    It is an estimate: tensors alone, without the interpreter's own structures (some hundred bytes
    for each operator and tensor) and the kernels' scratch buffers.
    """
    model = flat.read(content)
    return sum(planned(lifetimes(model, graph)) for graph in model.subgraphs)


def lifetimes(model: Any, graph: Any) -> list[Lifetime]:
    """The tensors of a graph that are no constants, in the graph's order."""
    operators = graph.operators or []
    first: dict[int, int] = {int(index): 0 for index in graph.inputs}
    last = {int(index): len(operators) for index in graph.outputs}
    for step, operator in enumerate(operators, 1):
        for index in operator.outputs:
            first.setdefault(int(index), step)
            last.setdefault(int(index), step)
        for index in operator.inputs:
            last[int(index)] = max(step, last.get(int(index), 0))
    found = []
    for index, tensor in enumerate(graph.tensors):
        is_state = bool(tensor.isVariable)
        if flat.constant(model, tensor) is not None or not (is_state or index in first):
            continue
        begin, end = (0, len(operators)) if is_state else (first[index], last.get(index, 0))
        found.append(Lifetime(_aligned(_bytes(tensor)), begin, end))
    return found


def planned(tensors: list[Lifetime]) -> int:
    """The size of an arena that holds these tensors, the largest placed first."""
    placed: list[tuple[int, Lifetime]] = []
    for tensor in sorted(tensors, key=lambda one: -one.size):  # stable: in the graph's order
        offset = 0
        for start, other in sorted(placed, key=lambda one: one[0]):
            if other.last < tensor.first or tensor.last < other.first:
                continue
            if start - offset >= tensor.size:
                break
            offset = max(offset, start + other.size)
        placed.append((offset, tensor))
    return max((offset + tensor.size for offset, tensor in placed), default=0)


def _bytes(tensor: Any) -> int:
    dtype = flat.DTYPES.get(tensor.type, np.float32)
    return int(np.prod(flat.shape(tensor), dtype=np.int64)) * np.dtype(dtype).itemsize


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
