"""How to use each artifact, so that a reader of ``result.json`` needs no manifest: how an encoding
is opened, which package loads the file, what raw values are multiplied with, and whether the file
keeps a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from job.artifact import EncodingResult, TensorResult, UsageResult
from job.manifest.compress import ENCODINGS
from job.metrics import litert
from job.result import ArtifactResult, TensorSpec


def with_usage(
    artifacts: Sequence[ArtifactResult],
    folder: Path,
    inputs: Sequence[TensorSpec],
    scale: float,
    *,
    is_keras3: bool,
) -> list[ArtifactResult]:
    """The artifacts with their usage.

    Args:
        artifacts: The artifacts.
        folder: Where their files are.
        inputs: The Keras model's inputs. Values for floating-point ones are scaled, integers are
            indices or raw pixels and are not; also where a ``.tflite`` takes another dtype.
        scale: The manifest's ``dataset.scale``.
        is_keras3: Whether Keras 3 wrote the model.
    """
    factors = {
        it.name: scale if np.issubdtype(np.dtype(it.dtype), np.floating) else 1.0 for it in inputs
    }
    return [
        artifact.model_copy(
            update={
                "inputs": [_scaled(it, factors) for it in artifact.inputs],
                "encoded": {codec: _decoded(codec, it) for codec, it in artifact.encoded.items()},
                "usage": _usage(artifact, folder / artifact.path, is_keras3=is_keras3),
            }
        )
        for artifact in artifacts
    ]


def _scaled(tensor: TensorResult, factors: dict[str, float]) -> TensorResult:
    of_all = set(factors.values())
    # The file may have other names, which does not matter where all inputs have the same factor.
    factor = factors.get(tensor.name, of_all.pop() if len(of_all) == 1 else None)
    return tensor.model_copy(update={"multiply_by": factor})


def _decoded(codec: str, encoding: EncodingResult) -> EncodingResult:
    return encoding.model_copy(update={"decoder": ENCODINGS[codec].decoder})


def _usage(artifact: ArtifactResult, path: Path, *, is_keras3: bool) -> UsageResult:
    if artifact.format == "tflite":
        has_state = any(it.is_state for it in litert.tensors(path))
        return UsageResult(loader="ai_edge_litert", has_state=has_state)
    return UsageResult(loader="keras" if is_keras3 else "tf_keras")
