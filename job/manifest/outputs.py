"""What comes out: encodings, quantized variants, gates and the place for it all."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from job.manifest.fields import Config, Count, Name, OutputName, Positive, Uri
from job.manifest.keras_names import MetricName
from job.manifest.storage import StorageConfig

CodecName = Literal["zip", "gzip", "zopfli", "zstd", "brotli", "xz"]

# The levels a codec has, and its default: the highest.
LEVELS: dict[str, tuple[int, int]] = {
    "zip": (0, 9),
    "gzip": (0, 9),
    "zopfli": (1, 100),
    "zstd": (1, 22),
    "brotli": (0, 11),
    "xz": (0, 9),
}

# What a codec adds to a file's name; zopfli writes what gzip reads.
SUFFIXES: dict[str, str] = {
    "zip": ".zip",
    "gzip": ".gz",
    "zopfli": ".zopfli.gz",
    "zstd": ".zst",
    "brotli": ".br",
    "xz": ".xz",
}


class CodecConfig(Config):
    """A codec with its options."""

    type: CodecName
    level: int | None = Field(default=None, ge=0, le=100)
    """Left out: the highest (zip 9, gzip 9, zstd 22, brotli 11, xz 9 extreme; zopfli 15 rounds)."""
    max_bytes: Count | None = None
    """Larger files are not encoded with it, and the result says so. zopfli: 1 MiB if left out."""

    @model_validator(mode="after")
    def _level_exists(self) -> Self:
        low, high = LEVELS[self.type]
        if self.level is not None and not low <= self.level <= high:
            raise ValueError(f"{self.type} has levels {low} to {high}, not {self.level}")
        return self


class CompressConfig(Config):
    """Lossless encodings of every model file."""

    codecs: list[CodecName | CodecConfig] = Field(default=["zip", "zopfli"], min_length=1)
    """Every model file is encoded with each of these."""

    @field_validator("codecs")
    @classmethod
    def _each_once(cls, codecs: list[CodecName | CodecConfig]) -> list[CodecName | CodecConfig]:
        names = [codec if isinstance(codec, str) else codec.type for codec in codecs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is there twice")
        return codecs


class _Variant(Config):
    name: Name | None = None
    """The file's name, where one type is asked for twice; left out, the type."""


class Float32Config(_Variant):
    """TFLite without quantization."""

    type: Literal["float32"]


class Float16Config(_Variant):
    """Weights as float16, computed in float32."""

    type: Literal["float16"]


class DynamicRangeConfig(_Variant):
    """Weights as int8, activations quantized while computing: the tutorial's variant."""

    type: Literal["dynamic_range"]


class _Calibrated(_Variant):
    calibration_samples: Count = 200
    """Training rows, drawn with the seed, that the ranges of the activations are taken from."""
    ignore_masks: bool = False
    """Convert recurrent layers (an LSTM after ``Embedding(mask_zero=True)`` or ``Masking``) without
    their masks, with which they can't be calibrated. Only where no row of the data set is padded:
    else the job is refused before the training. The file must not be given padded rows."""


class Int8Config(_Calibrated):
    """Full integer quantization: weights and activations as int8, no float left inside."""

    type: Literal["int8"]
    input_dtype: Literal["int8", "uint8", "float32"] = "int8"
    """What the model is fed with."""
    output_dtype: Literal["int8", "uint8", "float32"] = "int8"
    """What the model answers with."""
    per_channel: bool = True
    """One scale for each output channel of a kernel, not one for the whole of it."""


class Int16x8Config(_Calibrated):
    """Weights as int8, activations as int16: nearly float's quality."""

    type: Literal["int16x8"]
    input_dtype: Literal["int16", "float32"] = "int16"
    """What the model is fed with."""
    output_dtype: Literal["int16", "float32"] = "int16"
    """What the model answers with."""


QuantizeConfig = Annotated[
    Float32Config | Float16Config | DynamicRangeConfig | Int8Config | Int16x8Config,
    Field(discriminator="type"),
]

Metric = MetricName | Literal["loss"]


class _Gate(Config):
    artifact: Name | Literal["*"] | None = None
    """``prune``, a variant's name, or ``*``: that file, or each, must pass. Left out: every file is
    judged, and one that passes is enough; the smallest that does is ``chosen``."""


class _MetricGate(_Gate):
    metric: Metric
    output: OutputName | None = None
    """For a model of several outputs, whose metric it is. Left out: of ``loss`` the weighted total,
    else each output that the metric is measured for."""


class MaxDropGate(_MetricGate):
    """At most this much worse than the baseline."""

    type: Literal["max_drop"]
    value: float = Field(ge=0)
    """In the metric's own unit: 0.01 is one point of accuracy."""


class MinValueGate(_MetricGate):
    """At least this good, whatever the baseline was; a loss or an error: at most this large."""

    type: Literal["min_value"]
    value: float


class BeatsConstantGate(_Gate):
    """Better than the best constant answer (the most common class, the mean or the median of the
    training targets), the model that came in as well as the file that was made of it.
    """

    type: Literal["beats_constant"]
    metric: Metric | None = None
    """Left out: the first metric of each output."""
    output: OutputName | None = None
    """For a model of several outputs, whose metric it is; left out, each that has the metric."""
    margin: float = Field(default=0.0, ge=0)
    """Better by more than this, in the metric's own unit."""


class MinClassRecallGate(_Gate):
    """At least this fraction of each class's test rows is recognized."""

    type: Literal["min_class_recall"]
    value: float = Field(ge=0, le=1)
    class_index: int | None = Field(default=None, ge=0)
    """The class; left out, every class that has test rows."""
    output: OutputName | None = None
    """For a model of several outputs, whose classes; left out, each that has classes."""


class _SizeGate(_Gate):
    of: Literal["smallest_encoding", "file"] = "smallest_encoding"
    """Which bytes count: those of the smallest encoding, or of the plain file."""


class MaxBytesGate(_SizeGate):
    """At most this large."""

    type: Literal["max_bytes"]
    value: Count
    """Bytes."""


class MinRatioGate(_SizeGate):
    """At least this many times smaller than the model file that came in."""

    type: Literal["min_ratio"]
    value: Positive


GateConfig = Annotated[
    MaxDropGate
    | MinValueGate
    | BeatsConstantGate
    | MinClassRecallGate
    | MaxBytesGate
    | MinRatioGate,
    Field(discriminator="type"),
]


class DestinationConfig(Config):
    """Where the results go. A destination holds one run."""

    uri: Uri = "out"
    """A folder, or ``s3://bucket/prefix``; a relative URI is relative to the manifest."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    overwrite: bool = False
    """Whether the results of another run that are there may be replaced: the files that its
    ``result.json`` names, and nothing of anybody else's."""
