"""What data sets of all types share: names of arrays, splits, and declared preprocessing."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from job.manifest.fields import FROM_LIST, Config, Count, OutputName, Positive, Sha256, Uri
from job.manifest.preprocess import PixelSize, PreprocessConfig
from job.manifest.storage import StorageConfig

ArrayName = Annotated[str, Field(min_length=1)]
ArrayNames = ArrayName | list[ArrayName] | dict[str, ArrayName]
FilePattern = Annotated[str, Field(min_length=1)]
Columns = ArrayName | Annotated[list[ArrayName], Field(min_length=1)]
ColumnsByName = Columns | dict[str, Columns]
Share = Annotated[float, Field(gt=0, lt=1)]

RawDtype = Literal["uint8", "int8", "int16", "uint16", "int32", "int64", "float32", "float64"]


class SplitSharesConfig(Config):
    """How rows are split, where the data set does not say."""

    test: Share | None = None
    """The part that is held out to test on; left out where a test split is given."""
    validation: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The part of the training rows that is held out for validation; left out where a validation
    split is given, or as ``training.validation_split`` has it."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Decides which rows; left out, ``training.seed``."""
    stratify: bool = True
    """Whether each class has its share in each split."""

    @model_validator(mode="after")
    def _leaves_rows(self) -> Self:
        if (self.test or 0) + (self.validation or 0) >= 1:
            raise ValueError(
                f"test ({self.test:g}) and validation ({self.validation:g}) leave no rows to "
                "train on"
            )
        return self


class DataConfig(Config):
    """What all types of data sets have."""

    in_folder: ClassVar[str]
    """The pattern for the files of a folder."""

    uri: Uri
    """Where it is: a file, a folder, or a pattern (``data/shard-*``; ``*``, ``?`` and ``[...]``
    stay in their folder, ``**`` is any depth). Rows are joined in the sorted order of the files'
    names. A relative URI is relative to the manifest."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    sha256: Sha256 | None = None
    """The SHA-256, in hexadecimal; what has another one is refused. Of several files it is that of
    what ``sha256sum`` prints for them, sorted by name (``LC_ALL=C``), with names relative to the
    folder, or to the last one before a pattern's first wildcard:
    ``cd data; LC_ALL=C; sha256sum shard-*.npz | sha256sum``."""
    scale: Positive = 1.0
    """The inputs are multiplied with this: 1/255 makes pixels 0 to 1."""
    preprocess: Annotated[tuple[PreprocessConfig, ...], FROM_LIST] = ()
    """What else is done to inputs before the model sees them."""
    split: SplitSharesConfig | None = None
    """How rows are split where splits are not given."""
    test_split: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Where there is no ``test``: the part of the rows that is held out, drawn with the seed; left
    out, 0.2. ``split.test`` is the same."""
    memory_bytes: Annotated[int, Field(ge=0, le=1 << 46)] = 256 << 20
    """Rows of so many bytes stay in memory; of more, they are read batch by batch."""
    cache_bytes: Annotated[int, Field(ge=0, le=1 << 46)] = 64 << 30
    """So many bytes of decoded rows are put on the scratch disk. Images and records beyond are
    decoded again in each epoch."""

    train: Any
    test: Any
    validation: Any = None

    @property
    def splits(self) -> dict[str, Any]:
        """The splits that the manifest names: ``train`` first."""
        named = {"train": self.train, "test": self.test, "validation": self.validation}
        return {which: split for which, split in named.items() if split is not None}

    @property
    def validation_share(self) -> float | None:
        """The part of the training rows that is held out; None where the manifest has none here."""
        return self.split.validation if self.split else None

    @property
    def test_share(self) -> float | None:
        """The part of all rows that is held out; None where the manifest has none."""
        return self.split.test if self.split and self.split.test else self.test_split

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        if self.test is not None and self.test_share is not None:
            raise ValueError(
                f"{'test_split' if self.test_split else 'split.test'} is for a test split that is "
                "held out, and test names one; leave out one of them"
            )
        if self.test_split is not None and self.split is not None:
            raise ValueError("test_split and split are both given; write split.test")
        if self.validation is not None and self.validation_share:
            raise ValueError(
                "split.validation is for rows that are held out, and validation names a split; "
                "leave out one of them"
            )
        names = [it.input for it in self.preprocess]
        if len(set(names)) < len(names) or (None in names and len(names) > 1):
            raise ValueError("preprocess has two entries for one input; each needs its own input")
        if self.scale != 1 and self.preprocess:
            raise ValueError("scale is for all inputs, and preprocess for each; leave out one")
        return self


def names_of(given: ArrayNames | None) -> list[str]:
    """The names, however they are written."""
    if given is None or isinstance(given, str):
        return [given] if given else []
    return list(given.values()) if isinstance(given, dict) else given


class SplitConfig(Config):
    """The arrays of one split. One name, several in the model's order, or model name to array."""

    inputs: ArrayNames
    """The array, or arrays, that the model is given; the first axis counts the samples."""
    targets: ArrayNames | None = None
    """The array, or arrays, that the model should answer; left out or null: there are no labels."""

    @property
    def has_targets(self) -> bool:
        """Whether there are labels."""
        return self.targets is not None


class TrainSplitConfig(SplitConfig):
    """The arrays that the model is fine-tuned on."""

    weights: ArrayName | dict[OutputName, ArrayName] | None = None
    """The array, of one number for each row, that says how much the row counts in the loss: of
    every output, or output name to array. Left out, 1. Metrics are not weighted."""


class FeatureSplitConfig(TrainSplitConfig):
    """The features of one split: as arrays are named."""

    files: FilePattern | None = None
    """The files of the split: a pattern of names below ``uri``; left out, all."""


class TableSplitConfig(Config):
    """The columns of one split. A list of columns is stacked along a last axis; of a model of
    several inputs or outputs, its names are mapped to columns. ``*`` in a name is any characters:
    ``pixel*`` is all such columns in the file's order.
    """

    files: FilePattern | None = None
    """The files of the split: a pattern of names below ``uri``; left out, all."""
    inputs: ColumnsByName
    """What the model is given."""
    targets: ColumnsByName | None = None
    """What it should answer; left out or null: there are no labels."""
    weights: ArrayName | dict[OutputName, ArrayName] | None = None
    """The column that says how much a row counts in the loss; only of the training rows."""

    @property
    def has_targets(self) -> bool:
        """Whether there are labels."""
        return self.targets is not None


class ColumnConfig(Config):
    """How a column is read."""

    vocabulary: Annotated[list[str], Field(min_length=1)] | None = None
    """The texts of a categorical column: each becomes its place in this list, from 0."""
    one_hot: bool = False
    """Whether a categorical column becomes as many columns of zeros and a one."""
    missing: float | str | None = None
    """What an empty or null cell counts as; a text of the vocabulary for categorical columns. Left
    out, ``missing`` of the data set for numbers."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.vocabulary is None:
            if self.one_hot:
                raise ValueError("one_hot is for columns with a vocabulary; name its texts")
            if isinstance(self.missing, str):
                raise ValueError(
                    f"missing is the text {self.missing!r}, which is for columns with a vocabulary"
                )
            return self
        twice = [text for text, count in Counter(self.vocabulary).items() if count > 1]
        if twice:
            raise ValueError(f"vocabulary has {twice[0]!r} twice; each text is one number")
        if self.missing is not None and self.missing not in self.vocabulary:
            raise ValueError(f"missing is {self.missing!r}, which is not in the vocabulary")
        return self


class ImageSplitConfig(Config):
    """The images of one split."""

    folder: Annotated[str, Field(min_length=1)] = "."
    """The folder below ``uri``."""
    labels: Annotated[str, Field(min_length=1)] | None = "folders"
    """Where labels are: ``folders`` is one folder for each class; else a CSV file below ``uri``
    with the columns ``file_column`` and ``label_column``. Null: there are no labels."""

    @property
    def prefix(self) -> str:
        """What the names of its files begin with; empty, or with a slash at its end."""
        prefix = self.folder.removeprefix("./").rstrip("/") + "/"
        return "" if prefix == "./" else prefix

    @property
    def has_targets(self) -> bool:
        """Whether there are labels."""
        return self.labels is not None


class TextSplitConfig(Config):
    """The texts of one split."""

    files: FilePattern
    """The files: a pattern of names below ``uri``. Each line is a text, or, where ``inputs`` names
    a column, each row of a CSV, in which empty lines are no rows."""
    inputs: ArrayName | dict[str, ArrayName] | None = None
    """The column of a CSV, or input name to column; left out: lines."""
    targets: ArrayName | dict[str, ArrayName] | None = None
    """The column of labels, or output name to column; of lines, a file below ``uri`` with a label
    in each line. Left out or null: there are no labels."""

    @property
    def has_targets(self) -> bool:
        """Whether there are labels."""
        return self.targets is not None


class ImageFeatureConfig(Config):
    """An encoded image in a feature; see ``image_folder``."""

    color_mode: Literal["rgb", "rgba", "grayscale"] = "rgb"
    """The channels of a row: 3, 4 or 1."""
    image_size: tuple[PixelSize, PixelSize] | None = None
    """Height and width that images are resized to; left out, they must all be of one size."""
    max_pixels: Annotated[int, Field(ge=1, le=1 << 31)] = 1 << 26
    """An image of more pixels is refused before it is decoded."""


class FeatureConfig(Config):
    """A feature of ``tf.train.Example``."""

    dtype: Literal["float32", "int64", "bytes"] = "float32"
    """How the record stores it."""
    shape: tuple[Count, ...] = ()
    """The shape of a row; left out, a single value. Of ``bytes`` with ``raw``, that of what is
    decoded. Of an image, it is left out."""
    raw: RawDtype | None = None
    """Of ``bytes``: they are numbers of this dtype, little-endian (``tf.io.decode_raw``)."""
    image: ImageFeatureConfig | None = None
    """Of ``bytes``: they are an encoded image (PNG, JPEG, GIF, BMP)."""
    default: float | None = None
    """What all values of a record without this feature are; left out, it is refused."""

    @model_validator(mode="after")
    def _bytes_are_decoded(self) -> Self:
        ways = (self.raw is not None) + (self.image is not None)
        if self.dtype == "bytes" and ways != 1:
            raise ValueError("bytes need raw (the dtype of the numbers) or image, one of them")
        if self.dtype != "bytes" and ways:
            raise ValueError(f"raw and image are for bytes, and dtype is {self.dtype}")
        if self.image and (self.shape or self.default is not None):
            raise ValueError("shape and default are for numbers, not for an image")
        return self

    @model_validator(mode="after")
    def _default_is_of_dtype(self) -> Self:
        stored = self.raw or self.dtype
        if self.default is None or stored.startswith("float"):
            return self
        bits = int(stored.removeprefix("u").removeprefix("int"))
        low = 0 if stored.startswith("u") else -(1 << bits - 1)
        if not self.default.is_integer() or not low <= self.default < low + (1 << bits):
            raise ValueError(f"default ({self.default:g}) is no {stored}")
        return self
