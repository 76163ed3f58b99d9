"""What a page shows of each layer: the kernel's shape, and its weights before and after.

Pruning changes the loaded model in place, and to read its file again can take seconds. So the
baseline's kernels are written to a scratch file before, and not kept in memory while it is trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.manifest.prune import PruneConfig
from job.models import prunable
from job.models.kernel_axes import quantized_kernels
from job.models.layers import layers_of, users_name
from job.result.artifact import LayerResult
from job.result.layer_weights import HistogramResult, KernelImageResult, WeightsResult
from job.stages.kernel_images import picture, pixels, scale_of, strips_of
from job.worker.clustering import Clustered
from job.worker.context import Work
from job.worker.train import Pruned

Array = NDArray[np.generic]
# Of a histogram; even, so that zero is between two.
BINS = 40
# Kernels of more weights have no picture.
PICTURED_WEIGHTS = 32_768
# Characters of all pictures of a result together: a page has to stay small.
PICTURES = 96 * 1024


@dataclass(frozen=True)
class BaselineKernels:
    """The kernels of the model that came in, in a file."""

    file: IO[bytes]
    places: dict[str, list[int]] = field(default_factory=dict)
    """By layer path, where in the file each of its kernels begins."""

    def save(self, model: tf_keras.Model) -> None:
        """Write the kernels.

        Raises:
            OSError: Where the disk is full.
        """
        for path, layer in layers_of(model):
            for kernel in shown_kernels(layer):
                self.places.setdefault(path, []).append(self.file.tell())
                np.save(self.file, kernel.numpy(), allow_pickle=False)

    def read(self, path: str) -> list[Array]:
        """Those of a layer."""
        found = []
        for place in self.places[path]:
            self.file.seek(place)
            found.append(np.load(self.file, allow_pickle=False))
        return found


def shown_kernels(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The kernels that a mask can cover; where there are none, those that can be quantized."""
    return prunable.kernels(layer) or quantized_kernels(layer)


def layer_results(
    work: Work, pruned: Pruned, clustered: Clustered, before: BaselineKernels
) -> list[LayerResult]:
    """The layers, with their kernels' shapes, and the weights of those that were changed.

    Args:
        work: The job.
        pruned: The pruned model; of a job that does not prune, the one that came in.
        clustered: The clustered model; else the pruned one.
        before: The baseline's kernels, of a job that changes any.
    """
    after = {users_name(path): (path, it) for path, it in layers_of(clustered.model.read.model)}
    changed = {it.name for it in clustered.record.layers if it.clustered}
    found = []
    for layer in pruned.record.layers or _left_alone(pruned.read.model):
        path, made = after[layer.name]
        shown = shown_kernels(made)
        shapes = [[int(size) for size in it.shape] for it in shown]
        update: dict[str, object] = {"kernel_shape": max(shapes, key=math.prod, default=None)}
        if shown and (layer.pruned or layer.name in changed):
            update["weights"] = weights_of(before.read(path), [it.numpy() for it in shown])
        found.append(layer.model_copy(update=update))
    if work.job.report is None or not work.job.report.kernels:
        return found
    return with_pictures(found, after, before)


def _left_alone(model: tf_keras.Model) -> list[LayerResult]:
    """The layers of a job that does not prune."""
    plans = prunable.plan_layers(model, PruneConfig())
    update = {"pruned": False, "target_sparsity": None, "reason": "prune is null"}
    return [it.model_copy(update=update) for it in prunable.results(plans, model)]


def weights_of(before: Sequence[Array], after: Sequence[Array]) -> WeightsResult:
    """The histograms of a layer's kernels, of both models in the same bins."""
    limit = max((_largest(it) for it in (*before, *after)), default=0.0) or 1.0
    return WeightsResult(
        low=-limit,
        high=limit,
        before=histogram(before, limit),
        after=histogram(after, limit),
    )


def _largest(kernel: Array) -> float:
    magnitudes = np.abs(kernel[np.isfinite(kernel)])
    return float(magnitudes.max(initial=0))


def histogram(kernels: Sequence[Array], limit: float) -> HistogramResult:
    """How weights are distributed in equal bins from ``-limit`` to ``limit``, zeros apart."""
    counts = np.zeros(BINS, np.int64)
    zeros = 0
    for kernel in kernels:
        others = kernel[kernel != 0]
        zeros += kernel.size - others.size
        counts += np.histogram(others[np.isfinite(others)], BINS, (-limit, limit))[0]
    return HistogramResult(counts=counts.tolist(), zeros=zeros)


def with_pictures(
    found: Sequence[LayerResult],
    after: dict[str, tuple[str, tf_keras.layers.Layer]],
    before: BaselineKernels,
) -> list[LayerResult]:
    """The layers with pictures of their kernels, the smallest first, while there is room."""
    sizes = [
        (math.prod(variable.shape), place, index)
        for place, layer in enumerate(found)
        if layer.weights is not None
        for index, variable in enumerate(shown_kernels(after[layer.name][1]))
    ]
    images: dict[int, list[KernelImageResult]] = {}
    left_out: dict[int, dict[str, str]] = {}
    room, is_full = PICTURES, False
    for size, place, index in sorted(sizes):
        path, layer = after[found[place].name]
        variables = shown_kernels(layer)
        name = _names(variables)[index]
        reason = f"it has {size:,} weights; pictures are of {PICTURED_WEIGHTS:,} at most"
        if size <= PICTURED_WEIGHTS and not is_full:
            made = _picture(name, before.read(path)[index], variables[index].numpy())
            room -= len(made.before) + len(made.after)
            is_full = room < 0
            if not is_full:
                images.setdefault(place, []).append(made)
                continue
        if size <= PICTURED_WEIGHTS:
            reason = f"pictures of smaller kernels take the {PICTURES:,} bytes that all may have"
        left_out.setdefault(place, {})[name] = reason
    return [
        it
        if it.weights is None
        else it.model_copy(
            update={
                "weights": it.weights.model_copy(
                    update={
                        "images": images.get(place, []),
                        "not_pictured": left_out.get(place, {}),
                    }
                )
            }
        )
        for place, it in enumerate(found)
    ]


def _picture(name: str, before: Array, after: Array) -> KernelImageResult:
    scale = scale_of(before, after)
    height, width = pixels(after, scale).shape
    return KernelImageResult(
        name=name,
        shape=list(after.shape),
        width=width,
        height=height,
        strips=strips_of(after.shape),
        scale=scale,
        before=picture(before, scale),
        after=picture(after, scale),
    )


def _names(variables: Sequence[tf.Variable]) -> list[str]:
    """The kernels' names without what all have in common: ``kernel``, ``query/kernel``."""
    parts = [users_name(it.name.partition(":")[0]).split("/") for it in variables]
    common = 0
    shortest = min(len(it) for it in parts)
    while common < shortest - 1 and len({it[common] for it in parts}) == 1:
        common += 1
    return ["/".join(it[common:]) for it in parts]
