"""Scratch on the local disk: it is gone afterwards, and where there can be none is told."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import pytest

from job.errors import InputError, StorageError
from job.storage import local
from job.storage.scratch_files import write_json
from tests.storage.test_local import names
from tests.support.runs import tmpfs


def test_scratch_is_gone_afterwards_whatever_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in TMPDIR, and nothing of it stays after an error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> None:
        with local.scratch() as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_bytes(b"x")
            assert names(tmp_path) == {folder.name}
            assert list((folder / "output").iterdir()) == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert names(tmp_path) == set()


def test_scratch_where_none_may_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the place."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises((InputError, StorageError)) as caught, local.scratch():
        pass
    assert str(tmp_path / "nowhere") in caught.value.where


def test_json_is_written_indented_and_ends_in_a_line_feed(tmp_path: Path) -> None:
    """For people and for ``diff``."""
    write_json(tmp_path / "a.json", {"a": [1]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1]}
    assert text.startswith('{\n  "a"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("folder", ["nowhere", "file", "read-only"])
def test_a_tmpdir_that_can_not_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Python would take /tmp instead."""
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
    with contextlib.ExitStack() as stack:
        if folder == "read-only":
            stack.enter_context(tmpfs(tmp_path / folder, "ro"))
        refused = stack.enter_context(pytest.raises(InputError, match="TMPDIR names no folder"))
        with local.scratch():
            pass
    assert refused.value.where == str(tmp_path / folder)


def test_scratch_is_where_tmpdir_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one is relative to the current folder; empty is as if it were not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("TMPDIR", "here")
    with local.scratch() as folder:
        assert folder.parent == tmp_path / "here"
    monkeypatch.setenv("TMPDIR", "")
    with local.scratch() as folder:
        assert folder.parent.is_absolute()
