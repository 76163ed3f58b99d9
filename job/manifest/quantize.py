"""quantize: the variants, and what the file of each promises to be.

How a variant is made: ``job/stages/quantize.py``. Whether a file keeps the promise:
``job/metrics/promises.py``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from job.manifest.fields import Config, Count, Name


class VariantConfig(Config):
    """What all variants have."""

    kernels: ClassVar[str]
    """The dtype of the kernels in the file."""
    activations: ClassVar[str] = "float32"
    """The dtype of what is computed in between."""
    some_kernels_stay_float: ClassVar[bool] = False
    """Whether operators that have no such kernels may keep theirs in float."""

    name: Name | None = None
    """The file's name, where one type is asked for twice; left out, the type."""


class Float32Config(VariantConfig):
    """TFLite without quantization."""

    kernels = "float32"

    type: Literal["float32"]


class Float16Config(VariantConfig):
    """Weights as float16, computed in float32."""

    kernels = "float16"

    type: Literal["float16"]


class DynamicRangeConfig(VariantConfig):
    """Weights as int8, activations quantized while computing: the tutorial's variant."""

    kernels = "int8"
    some_kernels_stay_float = True

    type: Literal["dynamic_range"]


class CalibratedConfig(VariantConfig):
    """A variant without floats inside: the ranges of its activations are measured on rows."""

    kernels = "int8"

    calibration_samples: Count = 200
    """Training rows, drawn with the seed, that the ranges of the activations are taken from."""
    ignore_masks: bool = False
    """Convert recurrent layers (an LSTM after ``Embedding(mask_zero=True)`` or ``Masking``) without
    their masks, with which they can't be calibrated. Only where no row of the data set is padded:
    else the job is refused before the training. The file must not be given padded rows.
    (``int16x8`` has kernels for layers with ``unroll=True`` alone.)"""


class Int8Config(CalibratedConfig):
    """Full integer quantization: weights and activations as int8, no float left inside."""

    activations = "int8"

    type: Literal["int8"]
    input_dtype: Literal["int8", "uint8", "float32"] = "int8"
    """What the model is fed with."""
    output_dtype: Literal["int8", "uint8", "float32"] = "int8"
    """What the model answers with."""
    per_channel: bool = True
    """One scale for each output channel of a kernel, not one for the whole of it."""


class Int16x8Config(CalibratedConfig):
    """Weights as int8, activations as int16: nearly float's quality."""

    activations = "int16"

    type: Literal["int16x8"]
    input_dtype: Literal["int16", "float32"] = "int16"
    """What the model is fed with."""
    output_dtype: Literal["int16", "float32"] = "int16"
    """What the model answers with."""


IntegerConfig = Int8Config | Int16x8Config
QuantizeConfig = Annotated[
    Float32Config | Float16Config | DynamicRangeConfig | IntegerConfig, Field(discriminator="type")
]
