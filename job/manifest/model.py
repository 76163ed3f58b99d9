"""The trained model that is made smaller."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from job.manifest.fields import Config, Count, Sha256, Uri
from job.manifest.storage import StorageConfig


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
