"""The manifest of kind ``batch``: many models, one job for each.

What a batch says of its jobs is kept as the JSON that it is: ``expand.py`` merges and validates it.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from job.manifest.fields import Config, Count, Name, Positive, Uri
from job.manifest.storage import DestinationConfig, StorageConfig


class DiscoverConfig(Config):
    """Models that are found when the batch begins. Each is a job with the batch's ``defaults``."""

    uri: Uri
    """The folder, or the prefix in a bucket, that is searched; a relative URI is relative to the
    manifest."""
    pattern: Annotated[str, Field(min_length=1)] = "*"
    """Which of the model files there: ``*.keras`` or ``team-*/*.h5``; ``*``, ``?`` and ``[...]``
    stay in their folder, ``**`` is any depth. Left out, those directly in it."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""


def _workers_shape(value: object) -> str:
    """Which of the two is meant: so that only that one's mistakes are reported."""
    return "word" if isinstance(value, str) else "count"


Workers = Annotated[
    Annotated[Literal["auto"], Tag("word")] | Annotated[Count, Tag("count")],
    Discriminator(_workers_shape),
]


class BatchConfig(Config):
    """A batch. Its jobs are listed, or discovered, or both."""

    schema_version: Literal[1] = 1
    kind: Literal["batch"]
    name: Name
    """What the batch is called in tables and logs."""
    defaults: dict[str, Any] = Field(default={})
    """What the jobs have in common: a job's manifest without ``name``. With a ``model``, the jobs
    may leave out theirs: a sweep is one model with many settings. A job that names another ``uri``
    does not take over the ``sha256`` and ``trust`` of that model."""
    jobs: tuple[dict[str, Any], ...] = ()
    """The jobs: each a ``name``, a ``model`` where ``defaults`` has none, and whatever differs from
    ``defaults``, onto which it is merged as JSON Merge Patch (RFC 7396): objects are merged, all
    else is replaced, and null takes away what ``defaults`` says; a stage that is null is skipped.
    Names differ in more than upper and lower case."""
    discover: DiscoverConfig | None = None
    """More jobs: one for each model that is found."""
    workers: Workers = "auto"
    """How many jobs run at once; ``auto`` asks the machine."""
    timeout_s: Positive | None = None
    """Seconds that one job may take; left out, as many as it needs."""
    memory_limit_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)] | None = None
    """Bytes of memory that one job may take; left out, as many as there are."""
    destination: DestinationConfig = Field(default_factory=DestinationConfig)
    """Where the results go: those of a job to the folder of its name in there."""
    storage: StorageConfig = Field(default_factory=StorageConfig)
    """The store of all ``s3://`` URIs that name none of their own."""
