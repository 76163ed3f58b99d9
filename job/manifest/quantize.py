"""quantize: the variants, and what the file of each promises to be.

How a variant is made: ``job/stages/quantize.py``. Whether a file keeps the promise:
``job/metrics/promises.py``.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from job.manifest.fields import Auto, Config, Count, Name, auto_or_rules

WeightBits = Literal[8, 4, 2]
WeightOnlyBits = Literal[16, 8, 4, 2]
# A weight of so many bits is float16.
HALF: Literal[16] = 16
# The oldest runtime that has to run a file.
TargetName = Literal["tflite-2.14", "litert-2.1", "litert-2.3", "tflm"]


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
    target: TargetName | None = None
    """The oldest runtime that has to run the file: TensorFlow Lite 2.14 (2023), LiteRT 2.1 or 2.3,
    or LiteRT for Microcontrollers (``tflm``). A file that it can't run is refused. Left out: the
    newest LiteRT."""
    batch_size: Count | None = None
    """How many rows the file takes at once, always. Left out: any number, but one for models with
    recurrent layers and for ``tflm``."""
    slim: bool = False
    """Leave out what no interpreter needs to run the file: names, signature, metadata and empty
    buffers. Its inputs and outputs are then found by their position, not by name."""
    c_array: bool = False
    """Also write the file as a C array (``.cc``), as LiteRT for Microcontrollers takes it."""

    @property
    def rows_at_once(self) -> int | None:
        """The fixed batch; None where the model decides."""
        return self.batch_size or (1 if self.target == "tflm" else None)


class Float32Config(VariantConfig):
    """TFLite without quantization."""

    kernels = "float32"

    type: Literal["float32"]


class Float16Config(VariantConfig):
    """Weights as float16, computed in float32."""

    kernels = "float16"

    type: Literal["float16"]


class BitsRule(Config):
    """Another width for some layers. The first rule that fits a layer is taken."""

    name: str | None = None
    """A layer's name or path, or a pattern as in a shell: ``block_*``; ``/dense`` fits
    the outermost layer of this name alone."""
    type: str | None = None
    """A layer class: ``Conv2D``."""
    weight_bits: WeightOnlyBits
    """The width of these layers' kernels; 16 is for ``weight_only`` alone."""

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.name is None and self.type is None:
            raise ValueError("a rule needs a name pattern, a layer type, or both")
        return self


class TrainedConfig(VariantConfig):
    """A variant whose weights can be trained for its grid."""

    aware: bool | None = None
    """Quantization-aware training: the pruned model is trained further with its weights rounded as
    in the file. Left out: where a kernel has fewer than 8 bits."""
    epochs: Count | None = None
    """Of that training; left out, as many as the training has."""


class PackedConfig(TrainedConfig):
    """A variant of weights of few bits, beside activations that are floats in the file."""

    kernels = "int8"
    some_kernels_stay_float = True

    weight_bits: WeightOnlyBits = 8
    """The width of the kernels."""
    layers: Annotated[
        Auto | Annotated[tuple[BitsRule, ...], Tag("rules")], Discriminator(auto_or_rules)
    ] = ()
    """Widths for single layers; ``auto``: those whose sensitivity is low get ``weight_bits``, the
    others more."""
    per_channel: bool = True
    """One scale for each output channel of a kernel, not one for the whole of it."""

    @property
    def rules(self) -> tuple[BitsRule, ...]:
        """The rules for single layers; none yet where they are found by sensitivity."""
        return self.layers if isinstance(self.layers, tuple) else ()

    @property
    def widths(self) -> dict[str, WeightOnlyBits]:
        """The widths that kernels may have, by their places in the variant."""
        rules = {
            f"layers.{index}.weight_bits": it.weight_bits for index, it in enumerate(self.rules)
        }
        return {"weight_bits": self.weight_bits, **rules}


class DynamicRangeConfig(PackedConfig):
    """Weights as int8, activations quantized while computing: the tutorial's variant."""

    type: Literal["dynamic_range"]
    weight_bits: WeightBits = 8
    """The width of the kernels: 8, 4, or 2, which is ternary. An operator without such kernels
    stays at 8 bits, and the result says so."""
    blockwise: Literal[32, 64, 128, 256] | None = None
    """A scale for each so many weights of a row, for the 4-bit kernels of ``FULLY_CONNECTED``
    operators (Dense layers) whose rows are a multiple of it. Others have the scales that
    ``per_channel`` says, and the result has the reason."""


class WeightOnlyConfig(PackedConfig):
    """Weights as int8, everything computed in float32: nearly as small as ``dynamic_range``, and
    nearer to the model's own outputs, which have no rounded activations in them.
    """

    type: Literal["weight_only"]
    weight_bits: WeightOnlyBits = 8
    """The width of the kernels. 4 and 2 bits are stored in 8, which codecs make up for; 16 are
    float16."""


class CalibratedConfig(TrainedConfig):
    """A variant without floats inside: the ranges of its activations are measured on rows."""

    kernels = "int8"

    calibration_samples: Count = 200
    """Training rows, drawn with the seed, that the ranges of the activations are taken from."""
    calibration: Literal["data", "synthetic"] = "data"
    """``synthetic`` allows ranges from random inputs where ``dataset`` is null. They are those of
    random inputs, so the file may be far off on real ones."""
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
    Float32Config | Float16Config | DynamicRangeConfig | WeightOnlyConfig | IntegerConfig,
    Field(discriminator="type"),
]
