"""A manifest's text is read, or refused with the reason."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from job.errors import ManifestError
from job.storage.manifest_text import read_manifest_text
from job.storage.place import Place


def test_a_text_is_read_as_utf_8(tmp_path: Path) -> None:
    """Whatever the locale says, and without the mark that some editors put at its head."""
    path = tmp_path / "m.json"
    path.write_bytes('{"ü": "√"}'.encode())
    assert read_manifest_text(Place("file", str(path)), print) == '{"ü": "√"}'
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_manifest_text(Place("file", str(path)), print) == "{}"


def test_standard_input_is_read_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As bytes, whatever encoding the terminal claims."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("ü".encode()), "ascii"))
    assert read_manifest_text(None, print) == "ü"


def test_bytes_that_are_no_utf_8_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file and from standard input."""
    path = tmp_path / "m.json"
    path.write_bytes(b"{}\xff")
    with pytest.raises(ManifestError, match=r"no UTF-8 text: .* at byte 2") as caught:
        read_manifest_text(Place("file", str(path)), print)
    assert caught.value.where == str(path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"))
    with pytest.raises(ManifestError, match="no UTF-8 text") as caught:
        read_manifest_text(None, print)
    assert caught.value.where == "standard input"


def test_what_can_not_be_read_is_refused_with_its_place(tmp_path: Path) -> None:
    """A manifest that is not there, a folder, a name that can't be."""
    for path, says in (
        (tmp_path / "m.json", "there is no such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("a" * 300), "File name too long"),
    ):
        with pytest.raises(ManifestError, match=f"Reading the manifest failed: {says}") as caught:
            read_manifest_text(Place("file", str(path)), print)
        assert caught.value.where == str(path)
        assert caught.value.hint
