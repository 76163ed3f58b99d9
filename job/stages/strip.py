"""strip: remove the pruning wrappers, and check that the layers are those of the baseline."""

from __future__ import annotations

import tensorflow_model_optimization as tfmot
import tf_keras

from job.errors import StageError


def strip(wrapped: tf_keras.Model, baseline: tf_keras.Model) -> tf_keras.Model:
    """Remove the wrappers.

    Args:
        wrapped: The pruned model with its wrappers.
        baseline: The original model, for comparison.

    Returns:
        The pruned model, with the layers and the number of parameters of the baseline.

    Raises:
        StageError: Where a wrapper is left, or a layer differs from the baseline's.
    """
    # The losses of the last step are tensors of the training's graph, and would hold it in memory.
    wrapped._clear_losses()  # noqa: SLF001 - no public way
    stripped = tfmot.sparsity.keras.strip_pruning(wrapped)
    left = [
        layer.name
        for layer in stripped._flatten_layers()  # noqa: SLF001 - submodules fails for recurrent dropout
        if type(layer).__name__ == "PruneLowMagnitude"
    ]
    if left:
        raise StageError("Pruning wrappers are left after stripping.", where=", ".join(left))
    before, after = _shape(baseline), _shape(stripped)
    for layer_before, layer_after in zip(before, after, strict=False):
        if layer_before != layer_after:
            raise StageError(
                f"After stripping, the layer {layer_before} became {layer_after}.",
                where=layer_before[0],
            )
    if len(before) != len(after):
        raise StageError(f"After stripping there are {len(after)} layers, not {len(before)}.")
    return stripped


def _shape(model: tf_keras.Model) -> list[tuple[str, str, int]]:
    """Name, class and number of parameters of every layer."""
    return [(layer.name, type(layer).__name__, int(layer.count_params())) for layer in model.layers]
