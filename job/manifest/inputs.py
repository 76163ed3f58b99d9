"""What goes in: the trained model and the data set."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from job.manifest.fields import Config, Count, OutputName, Positive, Sha256, Uri
from job.manifest.storage import StorageConfig

ArrayName = Annotated[str, Field(min_length=1)]


class ModelConfig(Config):
    """The trained model."""

    uri: Uri
    """Where the model is: a ``.h5``, ``.hdf5`` or ``.keras`` file, or a SavedModel as a folder, a
    zip or a tar. A relative URI is relative to the manifest. In a bucket, a SavedModel's folder is
    a prefix that ends with ``/``."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    sha256: Sha256 | None = None
    """Its SHA-256, in hexadecimal; ``paredown inspect`` prints it. Another model is refused."""
    input_shapes: dict[Annotated[str, Field(min_length=1)], list[Count]] = Field(default={})
    """Input name to its sizes without the samples' axis: ``{"image": [96, 96, 3]}``. For inputs
    with open dimensions, which a .tflite has fixed; left out, they are the data set's."""
    draws: Count = 1
    """For a model that answers at random (``Dropout`` that was called with ``training=True``, a
    sampling layer): how many passes over the test rows each metric is the mean of. Every pass of
    every file draws numbers of its own."""
    trust: bool = False
    """Whether code that the model carries (``Lambda`` layers and the like) may run. It needs a
    pinned ``sha256``, so that it is the code that somebody has looked at."""

    @model_validator(mode="after")
    def _trust_is_pinned(self) -> Self:
        if self.trust and self.sha256 is None:
            raise ValueError(
                "trust lets the model's code run, so it needs the sha256 of the model that you "
                "have looked at; `paredown inspect` prints it"
            )
        return self


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
