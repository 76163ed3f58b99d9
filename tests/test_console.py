"""Standard output survives every encoding and a full disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from job import console
from tests.conftest import ROOT

POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENCODINGS = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "POSIX": POSIX,
}


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command; its output is bytes."""
    return subprocess.run(
        [sys.executable, "-m", "job", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_an_encoding_lacks_is_escaped(encoding: str, tmp_path: Path) -> None:
    """On standard output; standard error of Python escapes by itself."""
    path = tmp_path / "größe→.json"
    path.write_text('{"name": "a", "model": {"uri": "a.h5"}, "dataset": {"uri": "größe→.csv"}}')
    ended = command("validate", str(path), **ENCODINGS[encoding])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(b".json: valid\n")
    assert b"dataset.uri looks like a text table" in ended.stderr


def test_a_name_that_a_locale_can_not_write_is_an_error(tmp_path: Path) -> None:
    """A file of that name can't even be asked for; it is no bug."""
    path = tmp_path / "m.json"
    path.write_text('{"name": "a", "model": {"uri": "größe.h5"}, "dataset": {"uri": "d.npz"}}')
    ended = command("run", str(path), "--log", "text", **POSIX)
    assert ended.returncode == 3
    assert b"this locale lacks" in ended.stderr
    assert b"PYTHONUTF8=1" in ended.stderr


def test_what_programs_read_is_utf_8_everywhere(tmp_path: Path) -> None:
    """A manifest in a ConfigMap keeps its characters, so that the pod reads what was written."""
    path = tmp_path / "m.json"
    text = (ROOT / "manifests" / "kubernetes" / "quickstart.json").read_text()
    path.write_text(text.replace("quickstart/mnist.npz", "größe→/mnist.npz"), encoding="utf-8")
    arguments = ("kubernetes", str(path), "--image", "paredown:1")
    usual = command(*arguments, PYTHONUTF8="1")
    assert "größe→/mnist.npz" in usual.stdout.decode()
    ended = command(*arguments, **POSIX)
    assert (ended.returncode, ended.stdout) == (0, usual.stdout)


def test_a_full_disk_is_reported_on_standard_error() -> None:
    """Exit code 6, without a traceback: what programs read, and what people do."""
    for arguments in (["schema"], ["validate", "manifests/examples/minimal.json"]):
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "job", *arguments],
                cwd=ROOT,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert ended.returncode == 6
        assert ended.stderr.startswith("error: Writing to standard output failed: the disk is full")


def test_streams_that_take_text_alone_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And streams that escape already stay as they are."""
    stream = io.StringIO()
    console.print_data("größe", stream)
    assert stream.getvalue() == "größe\n"
    asked = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    monkeypatch.setattr(sys, "stdout", asked)
    console.prepare()
    assert asked.errors == "replace"
