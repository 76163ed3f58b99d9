"""The files of a run: their formats, names and media types, and what a result says of each.

``result.py`` puts it together. Times are milliseconds (``LatencyResult``), sparsities fractions of
zeros.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from job.manifest.compress import ENCODINGS, CodecName, Encoding
from job.result.layer_weights import WeightsResult
from job.result.record import Record

KerasFormat = Literal["h5", "keras", "saved_model"]
Format = Literal[KerasFormat, "tflite"]


@dataclass(frozen=True)
class ModelFormat:
    """What is known of a format of model files."""

    suffix: str
    """Of the files that are made here."""
    media_type: str = "application/octet-stream"
    packed: Mapping[bytes, str] = field(default_factory=dict)
    """The first bytes of archives that a baseline may be instead, and the suffix of each."""
    discovered: tuple[str, ...] = ()
    """Suffixes by which a batch discovers models, in lower case."""

    @property
    def suffixes(self) -> list[str]:
        """All that files of a run may have."""
        return [self.suffix, *self.packed.values()]


FORMATS: dict[Format, ModelFormat] = {
    "h5": ModelFormat(".h5", "application/x-hdf5", discovered=(".h5", ".hdf5")),
    "keras": ModelFormat(".keras", "application/zip", discovered=(".keras",)),
    "saved_model": ModelFormat(
        ".savedmodel.tar",
        "application/x-tar",
        packed={
            b"\x1f\x8b": ".savedmodel.tar.gz",
            b"BZh": ".savedmodel.tar.bz2",
            b"\xfd7zXZ": ".savedmodel.tar.xz",
            b"PK": ".savedmodel.zip",
        },
        discovered=(".zip", ".tar", ".tar.gz", ".tgz"),
    ),
    "tflite": ModelFormat(".tflite"),
}


def _one_of(suffixes: Iterable[str]) -> str:
    return f"({'|'.join(map(re.escape, suffixes))})"


# A result names files of the kinds that a run writes, and no others: another run that may replace
# it removes the files that it names.
_MODEL = "^[A-Za-z0-9][A-Za-z0-9._-]*" + _one_of(
    suffix for it in FORMATS.values() for suffix in it.suffixes
)
ModelName = Annotated[str, Field(pattern=f"{_MODEL}$")]
EncodingName = Annotated[
    str, Field(pattern=f"{_MODEL}{_one_of(it.suffix for it in ENCODINGS.values())}$")
]

# Appended to the name of a .tflite that is also written as a C array.
C_SUFFIX = ".cc"
CArrayName = Annotated[
    str,
    Field(pattern=f"^[A-Za-z0-9][A-Za-z0-9._-]*{re.escape(FORMATS['tflite'].suffix + C_SUFFIX)}$"),
]

_KNOWN: list[ModelFormat | Encoding] = [*FORMATS.values(), *ENCODINGS.values()]
# By the last suffix: what is encoded has the media type of its encoding.
MEDIA_TYPES = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    C_SUFFIX: "text/x-c++; charset=utf-8",
} | {Path(f"x{it.suffix}").suffix: it.media_type for it in _KNOWN}


def media_type(name: str) -> str:
    """The media type of a file that a run or a batch writes."""
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")


def file_digest(path: Path) -> tuple[int, str]:
    """A file's size in bytes, and its SHA-256 in hexadecimal.

    Raises:
        OSError: Where it can't be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


class EncodingResult(Record):
    """One lossless encoding of a file, decoded and compared before it counts."""

    path: EncodingName
    bytes: int
    sha256: str
    decoder: CodecName | None = None
    """What opens it. A zip has one member, which has the artifact's name."""


class PreprocessResult(Record):
    """What is done to an input's values, in this order; null: nothing. Channels are the indices of
    the last axis; a list of one number is for all.
    """

    shape: list[int] | None = None
    """The shape that a row is given."""
    resize: list[int] | None = None
    """Height and width that images are resized to."""
    interpolation: str | None = None
    """As ``tf.image.resize`` calls it."""
    one_hot: int | None = None
    """Whole numbers become a last axis of so many zeros and a one."""
    reverse_channels: bool = False
    """RGB becomes BGR."""
    divide_by: float | None = None
    scale: float | None = None
    offset: list[float] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    """``(value / divide_by * scale + offset - mean) / std``."""


class TensorResult(Record):
    """An input or output of a file."""

    name: str
    """Of a ``.tflite`` as its signature calls it."""
    dtype: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")]
    shape: list[int | None]
    """With the batch, which is null where a call takes any number of rows."""
    scale: float | None = None
    """For quantized ones: real = scale * (value - zero_point)."""
    zero_point: int | None = None
    multiply_by: float | None = None
    """Of an artifact's inputs: real = multiply_by * value, for values as the data set has them
    (the manifest's ``dataset.scale``); 1 for integers, which the model takes as they are. Null
    where ``preprocess`` says more."""
    preprocess: PreprocessResult | None = None
    """Of an artifact's inputs: what is done to values as the data set has them."""


class UsageResult(Record):
    """How a file is loaded and called; see docs/using-the-files.md."""

    loader: Literal["ai_edge_litert", "keras", "tf_keras"]
    """The Python package that reads it: LiteRT, Keras 3 or Keras 2."""
    has_state: bool = False
    """Whether it keeps a state from call to call: call ``reset_all_variables()`` first."""


class CArrayResult(Record):
    """A file as a C array, for programs that have no file system."""

    path: CArrayName
    bytes: int
    """Of the text; the array has the bytes of the file."""
    sha256: str
    symbol: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    """The array's name in C; its length is ``<symbol>_len``."""


class LayerResult(Record):
    """What was done with a layer that has weights."""

    name: str
    type: str
    parameters: int
    prunable_weights: int
    """The weights that a mask can cover; biases are none of them."""
    pruned: bool
    reason: str
    """Why, or why not."""
    target_sparsity: float | None = None
    achieved_sparsity: float
    kernel_shape: list[int] | None = None
    """Of its largest kernel, as Keras has it; null in a result of an earlier version."""
    weights: WeightsResult | None = None
    """How its weights were distributed, before and after; null where nothing of it was changed."""


class ObjectiveResult(Record):
    """The loss and the metrics of an output, and where they came from."""

    loss: str
    from_logits: bool | None = None
    weight: float = 1.0
    """The loss's weight in the total."""
    options: dict[str, float] = {}
    """The loss's other settings, by their names in Keras: ``label_smoothing``, ``delta``."""
    metrics: list[str]
    reason: str


class ClusterResult(Record):
    """What clustering did with a layer that has kernels."""

    name: str
    type: str
    clustered: bool
    reason: str
    """Why, or why not."""
    number_of_clusters: int | None = None
    """Distinct values that each of its kernels may have."""
    distinct_values: int
    """The most that one of its kernels has."""
