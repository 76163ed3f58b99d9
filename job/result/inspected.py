"""What a model file is, without a manifest: what ``paredown inspect`` finds."""

from __future__ import annotations

from pydantic import Field

from job.result.artifact import KerasFormat, TensorResult
from job.result.layer_trials import SensitivityResult
from job.result.record import Record


class InspectedLayer(Record):
    """A layer, and what could be done with it."""

    name: str
    """Its path: ``dense``, or ``branch/dense`` in a nested model."""
    type: str
    output_shape: str
    parameters: int
    prunable_weights: int
    prunable: bool
    reason: str
    """Why not; empty where it can be pruned, or has no weights."""


class InspectedModel(Record):
    """What a model file is; where dangers were found, nothing of it was loaded."""

    format: KerasFormat
    keras_version: str
    dangers: list[str] = Field(default=[])
    """What could run code when the model is loaded."""
    advice: str = ""
    """What to do about the dangers."""
    inputs: list[TensorResult] = Field(default=[])
    outputs: list[TensorResult] = Field(default=[])
    parameters: int = 0
    layers: list[InspectedLayer] = Field(default=[])
    choices: list[str] = Field(default=[])
    """What the manifest has to decide, or the data will."""
    variants: dict[str, str] = Field(default={})
    """quantize variant -> ``converts``, or why it does not."""
    sensitivity: SensitivityResult | None = None
    """Null where no data set was given."""
    warnings: list[str] = Field(default=[])


class InspectResult(InspectedModel):
    """What ``paredown inspect --json`` prints."""

    uri: str
    bytes: int
    sha256: str
    """For ``model.sha256``. A folder's is that of its files in a tar, without times and owners."""
