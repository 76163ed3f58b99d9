"""Units, which are output channels of a kernel: dead ones left out, others in an order.

A dead unit adds nothing to what a file computes. Between two kernels, where the tensor has no other
reader, a unit is left out of both where

- it is always zero: its weights are zeros, and its activation maps its bias to 0; or
- nobody reads it: all weights of the next kernel for it are zeros.

Integer sums stay what they were. Float sums may be added up in another order, and an operator of
integer weights that quantizes floats by their largest magnitude may lose that very magnitude with a
unit that nobody reads. So whoever calls compares the outputs.

The order of units is free as long as both kernels have the same one. Where their biases rise, the
file is the same size, and its encoding smaller: neighbors share their first bytes. (Of sparse
networks for MNIST 3 to 6 %; an order by the number of zeros gained nothing.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.tflite import flat
from job.tflite.chains import CUTS, KEEPS_ZERO, Chain, bias_of, chains_of, weights_of, with_units
from job.tflite.runtimes import WEIGHTS, is_newer, oldest

Mask = NDArray[np.bool_]
# How a name of a tensor ends that an operator of a kernel computes.
PRODUCTS = ("Conv2D", "Conv1D", "MatMul", "Tensordot", "BiasAdd")


def without_dead_units(model: Any) -> str:
    """Leave out units that are always zero, and those that nobody reads.

    Args:
        model: A file, which is changed.

    Returns:
        Of which layers how many units are gone; empty where none are.
    """
    return _without(model, takes_unread=True)


def without_zero_units(model: Any) -> str:
    """Leave out units that are always zero; otherwise like ``without_dead_units``."""
    return _without(model, takes_unread=False)


def _without(model: Any, *, takes_unread: bool) -> str:
    removed: dict[int, int] = {}
    before: dict[int, int] = {}
    writers: dict[int, tuple[Any, Any]] = {}
    is_changed = True
    while is_changed:  # what a unit had read may be read by nobody then
        is_changed = False
        for chain in reversed(list(chains_of(model))):
            kept = _kept(model, chain, takes_unread=takes_unread)
            if kept.all():
                continue
            key = id(chain.writer)
            writers[key] = chain.graph, chain.writer
            before.setdefault(key, kept.size)
            removed[key] = removed.get(key, 0) + int((~kept).sum())
            with_units(model, chain, np.flatnonzero(kept))
            is_changed = True
    counts = [
        f"{count} of {before[key]} of {_layer(model, *writers[key])}"
        for key, count in reversed(removed.items())
    ]
    return ", ".join(counts)


def with_rising_biases(model: Any) -> str:
    """Put the units of each chain into the order of their biases.

    Args:
        model: A file, which is changed.

    Returns:
        Of which layers; empty where all are in that order, or none has biases.
    """
    sorted_layers = []
    for chain in chains_of(model):
        bias = bias_of(chain.writer)
        values = None if bias is None else flat.constant(model, chain.graph.tensors[bias])
        if values is None:
            continue
        order = np.argsort(values, kind="stable")
        if (np.diff(order) != 1).any():
            with_units(model, chain, order)
            sorted_layers.append(_layer(model, chain.graph, chain.writer))
    return ", ".join(sorted_layers)


def _kept(model: Any, chain: Chain, *, takes_unread: bool) -> Mask:
    """The units that stay, (units,): one at least, and dead ones, too, until what runs the reader's
    rows runs those that are left in the same way.
    """
    weights = weights_of(model, chain.graph, chain.writer)
    units = weights.shape[0]
    is_zero = np.asarray(~weights.reshape(units, -1).any(axis=1))
    activation = chain.writer.builtinOptions.fusedActivationFunction
    bias = bias_of(chain.writer)
    if activation not in KEEPS_ZERO:
        is_zero[:] = False
    elif bias is not None:
        values = flat.constant(model, chain.graph.tensors[bias])
        if values is None:
            is_zero[:] = False
        else:
            numbers = np.asarray(values, np.float64)
            is_zero &= numbers <= 0 if activation in CUTS else numbers == 0
    is_dead = is_zero
    if takes_unread:
        read = weights_of(model, chain.graph, chain.reader)
        is_dead = is_zero | ~read.reshape(-1, units).any(axis=0)
    kept = np.asarray(~is_dead)
    kept[0] |= is_dead.all()
    while not kept.all() and not _runs_alike(model, chain, kept):
        kept[np.argmin(kept)] = True
    return kept


def _runs_alike(model: Any, chain: Chain, kept: Mask) -> bool:
    """Whether runtimes that run the reader run it with shorter rows, too, and by the same kernels:
    where rows of packed weights end within a byte, they take others, whose last digits differ.
    """
    kind = flat.kind(model, chain.reader)
    tensor = chain.graph.tensors[chain.reader.inputs[WEIGHTS]]
    row = int(weights_of(model, chain.graph, chain.reader)[0].size)
    left = row * int(kept.sum()) // kept.size
    bits = flat.PACKED.get(tensor.type, 8)
    if row * bits % 8 == 0 and left * bits % 8:
        return False
    scale = tensor.quantization.scale if tensor.quantization else None
    per_channel = scale is not None and len(scale) > 1
    needs = [oldest(kind, bits, per_channel=per_channel, row=it) for it in (row, left)]
    return needs[0] is None or needs[1] is None or not is_newer(needs[1], needs[0])


def _layer(model: Any, graph: Any, operator: Any) -> str:
    """The Keras layer in the name of what an operator computes; else the operator."""
    name = graph.tensors[operator.outputs[0]].name
    paths = [it.split("/") for it in name.decode().split(";")] if name else []
    paths = [it for it in paths if len(it) > 1]
    named = [it for it in paths if it[-1].rstrip("0123456789_") in PRODUCTS or it[-1] in PRODUCTS]
    first = next(iter(named or paths), None)
    return flat.kind(model, operator) if first is None else first[-2]
