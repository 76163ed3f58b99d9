"""compress: every codec gives the file back, the same bytes each time, to ordinary tools too."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import StageError
from job.manifest.outputs import LEVELS, SUFFIXES, CodecConfig, CodecName
from job.result import EncodingResult
from job.stages.compress import (
    CODECS,
    ZIP_EPOCH,
    ZOPFLI_MAX_BYTES,
    ZOPFLI_ROUNDS,
    Encoder,
    brotli_window,
    compress,
    too_large,
)

NAMES = get_args(CodecName)
TOOLS = {
    "zip": ["unzip", "-p"],
    "gzip": ["gunzip", "-c"],
    "zopfli": ["gunzip", "-c"],
    "zstd": ["zstd", "-dc"],
    "brotli": ["brotli", "-dc"],
    "xz": ["xz", "-dc"],
}


def codec(name: str, **options: Any) -> CodecConfig:
    return CodecConfig.model_validate({"type": name, **options})


def weights(count: int = 6000, seed: int = 0) -> bytes:
    """Weights as they are after pruning: most of them zero, the others of few values."""
    random = np.random.default_rng(seed)
    values = random.integers(-40, 40, count) * (random.random(count) > 0.7)
    return bytes(values.astype("float32").tobytes())


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "prune.h5"
    path.write_bytes(weights())
    return path


def test_every_codec_of_the_manifest_is_there() -> None:
    """The codecs, their levels and the manifest's names are the same."""
    assert set(CODECS) == set(NAMES) == set(LEVELS) == set(SUFFIXES) == set(TOOLS)
    assert len(set(SUFFIXES.values())) == len(CODECS)


@pytest.mark.parametrize("name", NAMES)
def test_an_encoding_is_smaller_and_decodes_to_the_file(name: str, model_file: Path) -> None:
    """What is written has the size and the digest that the result says, and holds the file."""
    found = compress(model_file, codec(name))
    written = (model_file.parent / found.path).read_bytes()
    assert found.path == f"prune.h5{SUFFIXES[name]}"
    assert found.bytes == len(written) < len(weights()) / 2
    assert found.sha256 == hashlib.sha256(written).hexdigest()
    assert CODECS[name].decode(written) == weights()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_gives_the_same_bytes_at_another_time(name: str, model_file: Path) -> None:
    """Neither a second call nor the file's time of change has a part in the encoding."""
    first = compress(model_file, codec(name))
    os.utime(model_file, (1_000_000_000, 1_234_567_890))
    assert compress(model_file, codec(name)) == first
    elsewhere = model_file.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(model_file, elsewhere)
    assert compress(elsewhere / model_file.name, codec(name)) == first


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_tools_open_it(name: str, model_file: Path) -> None:
    """The tool that everybody has for a format gives the file back."""
    command = TOOLS[name]
    if shutil.which(command[0]) is None:
        reason = f"{command[0]} is not installed"
        if "codecs" in os.environ.get("PAREDOWN_REQUIRE", ""):
            pytest.fail(reason)
        pytest.skip(reason)
    found = compress(model_file, codec(name))
    done = subprocess.run(
        [*command, model_file.parent / found.path], capture_output=True, check=True
    )
    assert done.stdout == weights()


def test_archives_carry_no_time(model_file: Path) -> None:
    """A zip holds its epoch and the plain file name; gzip's time field is zero."""
    zipped = compress(model_file, codec("zip"))
    with zipfile.ZipFile(model_file.parent / zipped.path) as archive:
        (entry,) = archive.infolist()
    assert entry.date_time == ZIP_EPOCH == (1980, 1, 1, 0, 0, 0)
    assert entry.filename == "prune.h5"
    assert entry.extra == b""
    assert entry.compress_type == zipfile.ZIP_DEFLATED
    for name in ("gzip", "zopfli"):
        found = compress(model_file, codec(name))
        assert (model_file.parent / found.path).read_bytes()[4:8] == bytes(4)


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_respected(name: str, model_file: Path) -> None:
    """The highest level is the default (zopfli: 15 rounds) and smaller than the lowest."""
    low, high = LEVELS[name]
    if name == "xz":  # its level 0 has a window of 256 KiB
        model_file.write_bytes(np.random.default_rng(0).bytes(300_000) * 2)
    default = compress(model_file, codec(name))
    highest = ZOPFLI_ROUNDS if name == "zopfli" else high
    assert compress(model_file, codec(name, level=highest)) == default
    lowest = compress(model_file, codec(name, level=low))
    assert lowest.sha256 != default.sha256
    assert lowest.bytes > default.bytes
    if name in ("zip", "gzip"):
        assert lowest.bytes > len(weights())  # level 0 stores


def test_zopfli_is_smaller_than_the_deflate_that_it_stands_for(model_file: Path) -> None:
    """Else nobody would wait for it."""
    assert compress(model_file, codec("zopfli")).bytes < compress(model_file, codec("gzip")).bytes


@given(data=st.binary(max_size=2000) | st.builds(bytes.__mul__, st.binary(max_size=9), st.just(99)))
@settings(max_examples=60, deadline=None)
def test_any_bytes_come_back(data: bytes) -> None:
    """Every codec gives any bytes back, none too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_bytes(data)
        for name in NAMES:
            found = compress(path, codec(name, level=LEVELS[name][0]))
            assert CODECS[name].decode((path.parent / found.path).read_bytes()) == data


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_file_comes_back(name: str, tmp_path: Path) -> None:
    """At the default level too."""
    path = tmp_path / "empty"
    path.touch()
    found = compress(path, codec(name))
    assert found.bytes > 0
    assert CODECS[name].decode((tmp_path / found.path).read_bytes()) == b""


@given(size=st.integers(0, 1 << 26))
@settings(deadline=None)
def test_brotlis_window_is_the_smallest_that_sees_the_file(size: int) -> None:
    """A window of w bits sees 2**w - 16 bytes (RFC 7932, 9.1)."""
    bits = brotli_window(size)
    assert 10 <= bits <= 24
    assert bits == 24 or (1 << bits) - 16 >= size
    assert bits == 10 or (1 << (bits - 1)) - 16 < size


def test_zopfli_is_left_out_above_a_mebibyte_unless_told_otherwise() -> None:
    """The reason has the size and the limit; max_bytes changes the limit, both ways."""
    assert ZOPFLI_MAX_BYTES == 1_048_576
    assert too_large(codec("zopfli"), 1_048_576) is None
    reason = too_large(codec("zopfli"), 1_048_577)
    assert reason is not None
    assert "1,048,577" in reason
    assert "1,048,576" in reason
    assert "max_bytes" in reason
    assert too_large(codec("zopfli", max_bytes=5_000_000), 1_048_577) is None
    assert too_large(codec("zopfli", max_bytes=100), 101) is not None
    for name in set(NAMES) - {"zopfli"}:
        assert too_large(codec(name), 1 << 40) is None
        assert too_large(codec(name, max_bytes=100), 101) is not None
        assert too_large(codec(name, max_bytes=100), 100) is None


def test_an_encoder_collects_every_encoding_of_every_file(tmp_path: Path) -> None:
    """Two files, all codecs: as if each were encoded alone; what is too large is said."""
    codecs = [codec(name, max_bytes=20_000) if name == "zip" else codec(name) for name in NAMES]
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(weights(2000))
    large.write_bytes(weights(7000, seed=1))
    told: list[tuple[int, int]] = []
    with Encoder(codecs, threads=2) as encoder:
        encoder.add(small)
        encoder.add(large)
        found = encoder.finish(lambda done, total: told.append((done, total)))
        (left_out,) = encoder.left_out
    assert left_out.startswith("large: zip is left out")
    assert set(found) == {"small", "large"}
    assert set(found["small"]) == set(NAMES)
    assert set(found["large"]) == set(NAMES) - {"zip"}
    assert told == [(done, 11) for done in range(1, 12)]
    for path in (small, large):
        for name, encoding in found[path.name].items():
            assert encoding == compress(path, codec(name))
            assert isinstance(encoding, EncodingResult)


def test_an_encoding_that_does_not_decode_is_an_error(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec that loses a byte is found out, in the background too."""
    broken = replace(CODECS["xz"], encode=lambda data, *_: CODECS["gzip"].encode(data[:-1], 9, ""))
    monkeypatch.setitem(CODECS, "xz", replace(broken, decode=CODECS["gzip"].decode))
    with pytest.raises(StageError, match="does not decode") as caught:
        compress(model_file, codec("xz"))
    assert caught.value.where == "prune.h5.xz"
    with Encoder([codec("zip"), codec("xz")], threads=1) as encoder:
        encoder.add(model_file)
        with pytest.raises(StageError, match="does not decode"):
            encoder.finish(lambda *_: None)


def test_an_encoding_that_can_not_be_written_is_an_error(model_file: Path) -> None:
    """The disk's error comes out of finish, not into a log."""
    (model_file.parent / "prune.h5.br").mkdir()
    with Encoder([codec("brotli")], threads=1) as encoder:
        encoder.add(model_file)
        with pytest.raises(OSError, match=r"prune\.h5\.br"):
            encoder.finish(lambda *_: None)


def test_what_has_not_begun_is_given_up_when_the_run_fails(tmp_path: Path) -> None:
    """After an error the encoder does not go on with what waits."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(weights(60_000))  # about a second of zopfli
    second.write_bytes(weights())

    def fail() -> None:
        with encoder:
            encoder.add(first)
            encoder.add(second)
            raise KeyError("something else")

    encoder = Encoder([codec("zopfli")], threads=1)
    with pytest.raises(KeyError):
        fail()
    encoder._pool.shutdown(wait=True)
    assert not (tmp_path / "second.zopfli.gz").exists()
