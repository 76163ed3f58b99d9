"""Encodings: files to make them of, and what each library makes of a file in memory."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from typing import Any, get_args

import brotli
import lz4.frame
import numpy as np
import zstandard

from job.manifest.compress import CodecConfig, CodecName
from job.stages.codecs import brotli_window

NAMES = get_args(CodecName)
# 1980: the earliest time that a zip can hold.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("prune.h5")


def zip_at_once(data: bytes) -> bytes:
    entry = zipfile.ZipInfo("prune.h5", date_time=ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, data, compresslevel=9)
    return target.getvalue()


# What each library does with the whole file in memory, at the default level.
AT_ONCE: dict[str, Callable[[bytes], bytes]] = {
    "zip": zip_at_once,
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(level=22).compress(data),
    "brotli": lambda data: bytes(brotli.compress(data, lgwin=brotli_window(len(data)))),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "lz4": lambda data: bytes(
        lz4.frame.compress(
            data,
            compression_level=12,
            block_size=lz4.frame.BLOCKSIZE_MAX4MB,
            block_linked=False,
            content_checksum=True,
        )
    ),
}
DECODED_AT_ONCE: dict[str, Callable[[bytes], bytes]] = {
    "zip": unzip,
    "gzip": gzip.decompress,
    "zopfli": gzip.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data),
    "brotli": lambda data: bytes(brotli.decompress(data)),
    "xz": lzma.decompress,
    "lzma": lambda data: lzma.decompress(data, lzma.FORMAT_ALONE),
    "lz4": lambda data: bytes(lz4.frame.decompress(data)),
}


def codec(name: str, **options: Any) -> CodecConfig:
    return CodecConfig.model_validate({"type": name, **options})


def weights(count: int = 6000, seed: int = 0) -> bytes:
    """Weights as they are after pruning: most of them zero, the others of few values."""
    random = np.random.default_rng(seed)
    values = random.integers(-40, 40, count) * (random.random(count) > 0.7)
    return bytes(values.astype("float32").tobytes())
