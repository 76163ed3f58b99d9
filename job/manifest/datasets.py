"""The data set: one class for each type of file. How a type is read: ``job/datasets/types.py``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from job.manifest.fields import Config, OutputName, Positive, Sha256, Uri
from job.manifest.storage import StorageConfig

ArrayName = Annotated[str, Field(min_length=1)]


class SplitConfig(Config):
    """The arrays of one split. One name, several in the model's order, or model name to array."""

    inputs: ArrayName | list[ArrayName] | dict[str, ArrayName]
    """The array, or arrays, that the model is given; the first axis counts the samples."""
    targets: ArrayName | list[ArrayName] | dict[str, ArrayName]
    """The array, or arrays, that the model should answer."""


class TrainSplitConfig(SplitConfig):
    """The arrays that the model is fine-tuned on."""

    weights: ArrayName | dict[OutputName, ArrayName] | None = None
    """The array, of one number for each row, that says how much the row counts in the loss: of
    every output, or output name to array. Left out, 1. Metrics are not weighted."""


class NpzConfig(Config):
    """NumPy arrays in ``.npz`` archives. Pickled objects in them are never loaded."""

    in_folder: ClassVar[str] = "*.npz"
    """The pattern for the files of a folder."""

    type: Literal["npz"] = "npz"
    uri: Uri
    """Where the archive is, or several: a folder is all ``*.npz`` directly in it, a pattern all
    files that match (``data/shard-*.npz``; ``*``, ``?`` and ``[...]`` stay in their folder, ``**``
    is any depth). Arrays are joined along the first axis, in the sorted order of the files' names;
    the arrays of a split come from the same files. A relative URI is relative to the manifest."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    sha256: Sha256 | None = None
    """The SHA-256, in hexadecimal; what has another one is refused. Of several files it is that of
    what ``sha256sum`` prints for them, sorted by name (``LC_ALL=C``), with names relative to the
    folder, or to the last one before a pattern's first wildcard:
    ``cd data; LC_ALL=C; sha256sum shard-*.npz | sha256sum``."""
    scale: Positive = 1.0
    """The inputs are multiplied with this: 1/255 makes pixels 0 to 1."""
    train: TrainSplitConfig = Field(
        default_factory=lambda: TrainSplitConfig(inputs="x_train", targets="y_train")
    )
    """What the pruned model is fine-tuned and calibrated on."""
    test: SplitConfig = Field(
        default_factory=lambda: SplitConfig(inputs="x_test", targets="y_test")
    )
    """What every file is measured on."""


# With a second type: a union, discriminated by its ``type``.
DatasetConfig = NpzConfig
