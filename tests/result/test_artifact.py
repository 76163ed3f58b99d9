"""The names of a run's files, their media types and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from job.manifest.compress import ENCODINGS
from job.result.artifact import (
    FORMATS,
    EncodingName,
    Format,
    KerasFormat,
    ModelName,
    file_digest,
    media_type,
)

MODEL: TypeAdapter[str] = TypeAdapter(ModelName)
ENCODING: TypeAdapter[str] = TypeAdapter(EncodingName)


def test_every_format_is_known() -> None:
    """Those of Keras files and the one of quantized files."""
    assert list(FORMATS) == [*get_args(KerasFormat), "tflite"] == list(get_args(Format))


def test_a_result_names_files_that_a_run_writes() -> None:
    """Of every format, and of each with every codec."""
    for known in FORMATS.values():
        for suffix in known.suffixes:
            assert MODEL.validate_python(f"a.b-c{suffix}")
            for encoding in ENCODINGS.values():
                assert ENCODING.validate_python(f"prune{suffix}{encoding.suffix}")


@pytest.mark.parametrize(
    "name",
    ["", ".h5", "x/y.h5", "../y.h5", "notes.txt", "xh5", "x.h5.exe", "x.savedmodel", "x.h5 "],
)
def test_a_result_names_no_other_files(name: str) -> None:
    """Another run may remove what a result names."""
    for names in (MODEL, ENCODING):
        with pytest.raises(ValidationError):
            names.validate_python(name)
    with pytest.raises(ValidationError):
        ENCODING.validate_python("prune.h5")
    with pytest.raises(ValidationError):
        MODEL.validate_python("prune.h5.zip")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prune.h5", "application/x-hdf5"),
        ("prune.keras", "application/zip"),
        ("baseline.savedmodel.tar", "application/x-tar"),
        ("baseline.savedmodel.tar.gz", "application/gzip"),
        ("int8.tflite", "application/octet-stream"),
        ("int8.tflite.zopfli.gz", "application/gzip"),
        ("int8.tflite.zst", "application/zstd"),
        ("int8.tflite.lzma", "application/x-lzma"),
        ("int8.tflite.lz4", "application/x-lz4"),
        ("int8.tflite.br", "application/octet-stream"),
        ("result.json", "application/json"),
        ("summary.csv", "text/csv; charset=utf-8"),
        ("notes", "application/octet-stream"),
    ],
)
def test_files_have_media_types(name: str, kind: str) -> None:
    """By their last suffix."""
    assert media_type(name) == kind


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
def test_bytes_and_digest_are_those_of_the_whole_file(size: int, tmp_path: Path) -> None:
    """Of nothing, of one byte, and of more than a buffer."""
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_digest(path) == (size, hashlib.sha256(content).hexdigest())
