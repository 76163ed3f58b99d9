"""Encodings are checked and collected; failures are reported."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from job.errors import StageError
from job.result.artifact import EncodingResult
from job.stages.codecs import CODECS
from job.stages.compress import Encoder, compress, too_large
from tests.support.encodings import NAMES, codec, weights


def test_zopfli_is_skipped_above_a_mebibyte_by_default() -> None:
    """The reason has the size and the limit; max_bytes changes the limit, both ways."""
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
    """Two files, all codecs: the same as one by one; a skipped one is reported."""
    codecs = [codec(name, max_bytes=20_000) if name == "zip" else codec(name) for name in NAMES]
    small, large = tmp_path / "small.h5", tmp_path / "large.h5"
    small.write_bytes(weights(2000))
    large.write_bytes(weights(7000, seed=1))
    told: list[tuple[int, int]] = []
    with Encoder(codecs, threads=2) as encoder:
        encoder.add(small)
        encoder.add(large)
        found = encoder.finish(lambda done, total: told.append((done, total)))
        (left_out,) = encoder.left_out
    assert left_out.startswith("large.h5: zip is left out")
    assert set(found) == {"small.h5", "large.h5"}
    assert set(found["small.h5"]) == set(NAMES)
    assert set(found["large.h5"]) == set(NAMES) - {"zip"}
    assert told == [(done, 15) for done in range(1, 16)]
    for path in (small, large):
        for name, encoding in found[path.name].items():
            assert encoding == compress(path, codec(name))
            assert isinstance(encoding, EncodingResult)


def test_an_encoding_that_does_not_decode_is_an_error(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec that loses a byte is detected, in the background too."""

    def forgetful(path: Path, target: IO[bytes], _: int) -> None:
        target.write(lzma.compress(path.read_bytes()[:-1]))

    monkeypatch.setitem(CODECS, "xz", replace(CODECS["xz"], encode=forgetful))
    with pytest.raises(StageError, match="does not decode") as caught:
        compress(model_file, codec("xz"))
    assert caught.value.where == "prune.h5.xz"
    with Encoder([codec("zip"), codec("xz")], threads=1) as encoder:
        encoder.add(model_file)
        with pytest.raises(StageError, match="does not decode"):
            encoder.finish(lambda *_: None)


@pytest.mark.parametrize("damage", ["truncated", "changed", "another", "too long"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_encoding_is_detected(
    name: str, damage: str, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its decoder detects it or not."""
    good = CODECS[name]

    def bad(path: Path, target: IO[bytes], level: int) -> None:
        if damage in ("another", "too long"):
            content = weights(seed=1) if damage == "another" else weights() + b"0"
            path = path.with_name("other")
            path.write_bytes(content)
        whole = path.with_name("whole")
        with whole.open("wb") as file:
            good.encode(path, file, level)
        encoded = bytearray(whole.read_bytes())
        if damage == "truncated":
            del encoded[len(encoded) // 2 :]
        elif damage == "changed":
            encoded[len(encoded) // 2] ^= 0xFF
        target.write(encoded)

    monkeypatch.setitem(CODECS, name, replace(good, encode=bad))
    with pytest.raises(StageError, match="does not decode"):
        compress(model_file, codec(name))


def test_an_encoding_that_can_not_be_written_is_an_error(model_file: Path) -> None:
    """``finish`` raises the disk's error."""
    (model_file.parent / "prune.h5.br").mkdir()
    with Encoder([codec("brotli")], threads=1) as encoder:
        encoder.add(model_file)
        with pytest.raises(OSError, match=r"prune\.h5\.br"):
            encoder.finish(lambda *_: None)


def test_waiting_encodings_are_cancelled_when_the_run_fails(tmp_path: Path) -> None:
    """After an error the encoder does not start those that wait."""
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
