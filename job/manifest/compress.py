"""compress: the codecs, and what is known of each. Their functions: ``job/stages/codecs.py``."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from job.manifest.fields import Config, Count

CodecName = Literal["zip", "gzip", "zopfli", "zstd", "brotli", "xz", "lzma", "lz4"]


@dataclass(frozen=True)
class Encoding:
    """What a codec makes of a file."""

    suffix: str
    """Appended to the file's name."""
    media_type: str
    decoder: CodecName
    """What opens it."""
    levels: tuple[int, int]
    """The lowest and the highest."""
    default_level: int
    max_bytes: int | None = None
    """The default of the manifest's ``max_bytes``."""
    library: str | None = None
    """The package on PyPI that makes it, where Python has no such codec."""
    in_every_run_id: bool = False
    """Whether the library's version counts in the run id of jobs that do not ask for the codec."""


# brotli has no registered media type. The libraries of the first codecs are in every run id: else
# the results that users have would be made again. A new codec's is in those of its own jobs alone.
ENCODINGS: dict[str, Encoding] = {
    "zip": Encoding(".zip", "application/zip", "zip", (0, 9), 9),
    "gzip": Encoding(".gz", "application/gzip", "gzip", (0, 9), 9),
    "zopfli": Encoding(
        ".zopfli.gz",
        "application/gzip",
        "gzip",
        (1, 100),
        15,
        max_bytes=1 << 20,  # zopfli takes 1 to 20 s for each MB
        library="zopfli",
        in_every_run_id=True,
    ),
    "zstd": Encoding(
        ".zst",
        "application/zstd",
        "zstd",
        (1, 22),
        22,
        library="zstandard",
        in_every_run_id=True,
    ),
    "brotli": Encoding(
        ".br",
        "application/octet-stream",
        "brotli",
        (0, 11),
        11,
        library="brotli",
        in_every_run_id=True,
    ),
    "xz": Encoding(".xz", "application/x-xz", "xz", (0, 9), 9),
    "lzma": Encoding(".lzma", "application/x-lzma", "lzma", (0, 9), 9),
    "lz4": Encoding(".lz4", "application/x-lz4", "lz4", (0, 12), 12, library="lz4"),
}


class CodecConfig(Config):
    """A codec with its options."""

    type: CodecName
    level: int | None = Field(default=None, ge=0, le=100)
    """Left out: the highest (zip 9, gzip 9, zstd 22, brotli 11, xz and lzma 9 extreme, lz4 12;
    zopfli 15 rounds)."""
    max_bytes: Count | None = None
    """Larger files are not encoded with it, and the result says so. zopfli: 1 MiB if left out."""

    @model_validator(mode="after")
    def _level_exists(self) -> Self:
        low, high = ENCODINGS[self.type].levels
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
