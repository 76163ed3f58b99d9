"""Where results and checkpoints go, and how S3-compatible storage is reached.

Credentials are never in a manifest.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from job.manifest.fields import Config, Uri

# 5 TiB, the largest object that S3 has.
LARGEST_OBJECT = 5 << 40


class StorageConfig(Config):
    """A store. What is left out comes from the environment and the files of the AWS tools
    (``AWS_ENDPOINT_URL_S3``, ``AWS_REGION``, ``AWS_PROFILE``, ``AWS_CA_BUNDLE``), and so do
    credentials, always.
    """

    endpoint_url: Annotated[str, Field(min_length=1)] | None = None
    """The store's address, for stores other than AWS: ``https://minio.example.org:9000``."""
    region: Annotated[str, Field(min_length=1)] | None = None
    """The region that requests are signed for."""
    profile: Annotated[str, Field(min_length=1)] | None = None
    """The profile in the AWS configuration whose credentials are used."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where the bucket's name goes: into the path, or before the host's name."""
    ca_bundle: Annotated[str, Field(min_length=1)] | None = None
    """A PEM file of the certificate authorities that are trusted, on the machine that runs the
    job."""
    checksums: Literal["when_supported", "when_required"] = "when_supported"
    """Whether SHA-256 is sent with all that is written. Some stores refuse it; what is written is
    then compared by its ETag."""
    anonymous: bool = False
    """Whether requests are not signed, for public buckets."""
    max_object_bytes: int = Field(default=64 << 30, ge=1, le=LARGEST_OBJECT)
    """An object that is larger is not downloaded."""

    @field_validator("endpoint_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from urllib.parse import urlsplit  # rarely needed, and slow to import

        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "this must be the address of a store: https://host or http://host:port"
            )
        try:
            is_bare = parts.username is None and not parts.query and parts.port != 0
        except ValueError:  # no port, but a password with a slash in it
            is_bare = False
        if not is_bare:
            raise ValueError("an address holds no credentials; give them in the environment")
        return value


class DestinationConfig(Config):
    """Where the results go. A destination holds one run."""

    uri: Uri = "out"
    """A folder, or ``s3://bucket/prefix``; a relative URI is relative to the manifest."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    overwrite: bool = False
    """Whether the results of another run that are there may be replaced: the files that its
    ``result.json`` names, and nothing of anybody else's."""


class ResumeConfig(Config):
    """What is saved while the job runs, so that a run that was killed goes on where it was."""

    save_every_s: float = Field(default=60.0, ge=0.1, le=86_400)
    """Seconds between two saves of the training; what a killed run has to do again."""
    grace_s: float = Field(default=20.0, ge=1, le=3_600)
    """Seconds that SIGTERM leaves for a last save."""
