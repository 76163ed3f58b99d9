"""The data set: one class for each type of file. How a type is read: ``job/datasets/types.py``."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from job.manifest.data_fields import (
    ArrayName,
    ColumnConfig,
    DataConfig,
    FeatureConfig,
    FeatureSplitConfig,
    ImageSplitConfig,
    SplitConfig,
    TableSplitConfig,
    TextSplitConfig,
    TrainSplitConfig,
    names_of,
)
from job.manifest.fields import Count
from job.manifest.preprocess import Interpolation, PixelSize

KERAS_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
# Where ``keras.datasets`` downloads from; fashion_mnist is a folder of four files.
KERAS_ADDRESSES = {
    "mnist": f"{KERAS_STORE}mnist.npz",
    "fashion_mnist": KERAS_STORE,
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "imdb": f"{KERAS_STORE}imdb.npz",
}
FASHION_MNIST_FILES = (
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
)


class ArraysConfig(DataConfig):
    """Named arrays."""

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
    validation: SplitConfig | None = None
    """What epochs and trials are judged by; left out, training rows are held out."""

    @model_validator(mode="before")
    @classmethod
    def _test_follows_train(cls, given: object) -> object:
        """Name the test arrays that go with the training arrays."""
        if not isinstance(given, dict) or "test" in given:
            return given
        train, split = given.get("train"), given.get("split")
        holds_out = "test_split" in given or (isinstance(split, dict) and "test" in split)
        if train is None and not holds_out:
            return given
        document = train.model_dump() if isinstance(train, BaseModel) else train or {}
        if not isinstance(document, dict):
            return given
        is_usual = document.get("inputs", "x_train") == "x_train" and not holds_out
        targets = {"targets": "y_test"} if document.get("targets") is not None else {}
        return given | {"test": {"inputs": "x_test"} | targets if is_usual else None}


class NpzConfig(ArraysConfig):
    """NumPy arrays in ``.npz`` archives. Pickled objects in them are never loaded."""

    in_folder = "*.npz"

    type: Literal["npz"] = "npz"


class NpyConfig(ArraysConfig):
    """NumPy arrays in ``.npy`` files, one for each array, which is called as its file is without
    the suffix. They are read where they lie, a batch at a time.
    """

    in_folder = "*.npy"

    type: Literal["npy"]


class KerasConfig(ArraysConfig):
    """A data set of ``keras.datasets``: a file in Keras's cache is used, else it is downloaded. Its
    arrays are ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
    """

    in_folder = "*"

    type: Literal["keras"]
    name: Literal["mnist", "fashion_mnist", "cifar10", "cifar100", "imdb"]
    """Which one, as its module in ``keras.datasets`` is called."""
    sequence_length: Count | None = None
    """Of ``imdb``: the integers of a row; shorter reviews are padded, longer ones cut, both at
    their beginning, as ``keras.utils.pad_sequences`` does."""
    num_words: Annotated[int, Field(ge=4, le=1 << 20)] | None = None
    """Of ``imdb``: less frequent words count as unknown (2)."""

    @model_validator(mode="before")
    @classmethod
    def _uri_is_keras_address(cls, given: object) -> object:
        """Left out, it is where Keras has it."""
        if (
            not isinstance(given, dict)
            or "uri" in given
            or given.get("name") not in KERAS_ADDRESSES
        ):
            return given
        return given | {"uri": KERAS_ADDRESSES[given["name"]]}

    @model_validator(mode="after")
    def _is_for_imdb(self) -> Self:
        if self.name == "imdb" and self.sequence_length is None:
            raise ValueError("imdb needs sequence_length: its reviews are of all lengths")
        if self.name != "imdb" and (self.sequence_length or self.num_words):
            raise ValueError(f"sequence_length and num_words are for imdb, not for {self.name}")
        return self


class ImageFolderConfig(DataConfig):
    """PNG, JPEG, GIF (the first frame) and BMP files in folders, as
    ``keras.utils.image_dataset_from_directory`` reads them.
    """

    in_folder = "**/*"

    type: Literal["image_folder"]
    image_size: tuple[PixelSize, PixelSize] | None = None
    """Height and width that images are resized to; left out, they must all be of the size that the
    model takes, or of one size."""
    color_mode: Literal["rgb", "rgba", "grayscale"] = "rgb"
    """The channels of a row: 3, 4 or 1."""
    interpolation: Interpolation = "bilinear"
    """How ``image_size`` computes pixels, as in ``tf.image.resize``."""
    apply_exif_orientation: bool = False
    """Whether photographs are turned as their EXIF data say. Keras does not."""
    class_names: Annotated[list[str], Field(min_length=1)] | None = None
    """The classes in the model's order; left out, the folders' names (or the labels of a CSV) in
    sorted order."""
    file_column: ArrayName = "file"
    """The column of a CSV of labels that names files, relative to the split's folder."""
    label_column: ArrayName = "label"
    """Its column of labels: class names, class indices, or numbers."""
    skip_bad: Annotated[int, Field(ge=0, le=1 << 30)] = 0
    """So many images that can't be decoded are left out, and listed in the result; one more is an
    error."""
    max_pixels: Annotated[int, Field(ge=1, le=1 << 31)] = 1 << 26
    """An image of more pixels is refused before it is decoded."""
    train: ImageSplitConfig = Field(default_factory=ImageSplitConfig)
    test: ImageSplitConfig | None = None
    validation: ImageSplitConfig | None = None


class TFRecordConfig(DataConfig):
    """Records of ``tf.train.Example``."""

    in_folder = "*.tfrecord*"

    type: Literal["tfrecord"]
    compression: Literal["none", "gzip", "zlib"] = "none"
    """How whole files are compressed."""
    features: Annotated[dict[ArrayName, FeatureConfig], Field(min_length=1)]
    """The features that are read, by name."""
    train: FeatureSplitConfig
    test: FeatureSplitConfig | None = None
    validation: FeatureSplitConfig | None = None

    @model_validator(mode="after")
    def _features_are_described(self) -> Self:
        for which, split in self.splits.items():
            given = (("inputs", split.inputs), ("targets", split.targets))
            for kind, names in (*given, ("weights", split.weights)):
                unknown = [name for name in names_of(names) if name not in self.features]
                if unknown:
                    raise ValueError(
                        f"{which}.{kind} names {unknown[0]!r}, which features does not describe; "
                        f"described are {', '.join(self.features)}"
                    )
        return self


class TableConfig(DataConfig):
    """What tables have."""

    columns: dict[ArrayName, ColumnConfig] = Field(default_factory=dict)
    """How columns are read that do not hold plain numbers."""
    missing: float | None = None
    """What empty and null cells of numbers count as; left out, they are refused."""
    train: TableSplitConfig
    test: TableSplitConfig | None = None
    validation: TableSplitConfig | None = None

    @model_validator(mode="after")
    def _weights_are_for_training(self) -> Self:
        for which, split in (("test", self.test), ("validation", self.validation)):
            if split is not None and split.weights is not None:
                raise ValueError(f"{which} has weights, which are for train only; leave them out")
        return self


class CsvConfig(TableConfig):
    """Text tables in UTF-8 whose first line names the columns. Empty lines are no rows. In columns
    of numbers, ``NA``, ``N/A``, ``#N/A``, ``null`` and ``nan`` are empty cells.
    """

    in_folder = "*.csv"

    type: Literal["csv"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What is between cells."""
    decimal: Literal[".", ","] = "."
    """The decimal mark."""

    @model_validator(mode="after")
    def _delimiter_delimits(self) -> Self:
        is_plain = self.delimiter.isascii() and not self.delimiter.isalnum()
        if not is_plain or self.delimiter in '"\r\n\0':
            raise ValueError(
                f"delimiter is {self.delimiter!r}; it must be an ASCII character, and no quote, "
                "line break, letter or digit"
            )
        if self.delimiter == self.decimal:
            raise ValueError(
                f"delimiter and decimal are both {self.decimal!r}; they must be different"
            )
        return self


class ParquetConfig(TableConfig):
    """Parquet tables; columns may be numbers, texts, or lists of one length."""

    in_folder = "*.parquet"

    type: Literal["parquet"]


class TextConfig(DataConfig):
    """Texts, to the integers that a model with an Embedding takes."""

    in_folder = "**/*"

    type: Literal["text"]
    vocabulary: Annotated[str, Field(min_length=1)]
    """The file below ``uri`` with a token in each line; a token's integer is its line, from 0, as
    in what ``TextVectorization.get_vocabulary()`` gives."""
    sequence_length: Count
    """The integers of a row: longer texts are cut, shorter ones padded."""
    level: Literal["word", "character"] = "word"
    """What a token is: what is between white space, or one character."""
    standardize: Literal["lower_and_strip_punctuation", "lower", "strip_punctuation"] | None = (
        "lower_and_strip_punctuation"
    )
    """What is done to texts first, as in ``TextVectorization``."""
    oov_token: str | None = "[UNK]"  # noqa: S105 - a token of a text
    """The token of the vocabulary that unknown ones count as; null: unknown ones are left out."""
    padding: Literal["post", "pre"] = "post"
    """Where integers of 0 are added."""
    truncating: Literal["post", "pre"] = "post"
    """Where what is too long is cut."""
    index_offset: Annotated[int, Field(ge=0, le=1 << 30)] = 0
    """What is added to every token's integer, where 0 is kept for padding and the vocabulary has no
    line for it."""
    class_names: Annotated[list[str], Field(min_length=1)] | None = None
    """The classes in the model's order, where labels are names; left out, labels are numbers, or
    names in sorted order."""
    delimiter: Annotated[str, Field(pattern=r'^[^"\r\n0-9A-Za-z]$')] = ","
    """Of a CSV."""
    train: TextSplitConfig
    test: TextSplitConfig | None = None
    validation: TextSplitConfig | None = None


def _type_of(given: object) -> str:
    """A data set without a type is an archive."""
    kind = given.get("type", "npz") if isinstance(given, dict) else getattr(given, "type", "npz")
    return kind if isinstance(kind, str) else repr(kind)


DatasetConfig = Annotated[
    Annotated[NpzConfig, Tag("npz")]
    | Annotated[NpyConfig, Tag("npy")]
    | Annotated[ImageFolderConfig, Tag("image_folder")]
    | Annotated[TFRecordConfig, Tag("tfrecord")]
    | Annotated[CsvConfig, Tag("csv")]
    | Annotated[ParquetConfig, Tag("parquet")]
    | Annotated[TextConfig, Tag("text")]
    | Annotated[KerasConfig, Tag("keras")],
    Discriminator(_type_of),
]
