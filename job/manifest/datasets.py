"""The data set: one class for each type of file. How a type is read: ``job/datasets/types.py``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from job.manifest.fields import Config, OutputName, Positive, Sha256, Uri
from job.manifest.storage import StorageConfig

ArrayName = Annotated[str, Field(min_length=1)]
ArrayNames = ArrayName | list[ArrayName] | dict[str, ArrayName]


class SplitConfig(Config):
    """The arrays of one split. One name, several in the model's order, or model name to array."""

    inputs: ArrayNames
    """The array, or arrays, that the model is given; the first axis counts the samples."""
    targets: ArrayNames | None = None
    """The array, or arrays, that the model should answer; left out or null: there are no labels."""


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
    test: SplitConfig | None = Field(
        default_factory=lambda: SplitConfig(inputs="x_test", targets="y_test")
    )
    """What every file is measured on. Null: a sample of the training rows, which are then neither
    trained nor calibrated on. Left out: ``x_test`` and ``y_test`` (the latter where the training
    rows have targets) if ``train.inputs`` is ``x_train``, else null."""
    test_split: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Where ``test`` is null: the part of the rows that is held out, drawn with the seed; left out,
    0.2."""

    @model_validator(mode="before")
    @classmethod
    def _test_follows_train(cls, given: object) -> object:
        """Name the test arrays that go with the training arrays."""
        if not isinstance(given, dict) or "test" in given:
            return given
        train = given.get("train")
        if train is None and "test_split" not in given:
            return given
        document = train.model_dump() if isinstance(train, BaseModel) else train or {}
        if not isinstance(document, dict):
            return given
        is_usual = document.get("inputs", "x_train") == "x_train" and "test_split" not in given
        targets = {"targets": "y_test"} if document.get("targets") is not None else {}
        return given | {"test": {"inputs": "x_test"} | targets if is_usual else None}

    @model_validator(mode="after")
    def _split_is_for_held_out_rows(self) -> Self:
        if self.test is not None and self.test_split is not None:
            raise ValueError(
                "test_split is for a test split that is held out, and test names arrays; leave out "
                "one of them"
            )
        return self


# With a second type: a union, discriminated by its ``type``.
DatasetConfig = NpzConfig
