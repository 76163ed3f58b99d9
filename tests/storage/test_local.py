"""The local disk: inputs are read where they are, results appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from job.errors import InputError, ManifestError, StorageError
from job.storage import local
from job.storage.destination import Destination, Publication
from job.storage.local import MARKER, Local
from job.storage.place import Place
from tests.conftest import ROOT
from tests.support.runs import tmpfs

NAMES = {"a.h5", "b.tflite", "manifest.json", "result.json"}


def at(folder: Path) -> Destination:
    """The destination in a folder."""
    return Destination(Place("file", str(folder)), Local(), pytest.fail)


def claimed(folder: Path, wait: Callable[[], None]) -> AbstractContextManager[None]:
    """The folder as a run claims it."""
    return at(folder).claimed(wait)


def prepare(folder: Path, protected: Collection[str]) -> None:
    """As a run does before its work."""
    at(folder).prepare("f" * 64, protected)


def publish(source: Path, out: Path, replaced: list[str]) -> None:
    """All files of a folder, the result last."""
    ordered = sorted(source.iterdir(), key=lambda file: (file.name == "result.json", file.name))
    files = {file.name: "" for file in ordered}
    at(out).publish(Publication(source, files, replaced, {}, lambda _: False), lambda _: None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with four files, one of them the result."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def test_a_file_is_measured_by_its_bytes(tmp_path: Path) -> None:
    """Size and SHA-256."""
    path = tmp_path / "m.h5"
    path.write_bytes(b"weights")
    assert local.measure(path, "Reading") == (7, hashlib.sha256(b"weights").hexdigest())


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe that would never end, a name that is nowhere, a name that can't be."""
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path, "no plain file"),
        (tmp_path / "pipe", "no plain file"),
        (tmp_path / "nowhere", "there is no such file"),
        (tmp_path / ("a" * 300), "name too long"),
    ):
        with pytest.raises(InputError, match=f"(?i)Reading the model failed: .*{says}"):
            local.measure(path, "Reading the model")


def test_claiming_makes_the_destination(tmp_path: Path) -> None:
    """With the folders above it, and once more where it is there already."""
    for _ in range(2):
        with claimed(tmp_path / "deep" / "out", never):
            assert names(tmp_path / "deep" / "out") == set()


def test_a_claimed_destination_is_waited_for(tmp_path: Path) -> None:
    """Another run that wants it says so, and goes on when the first one has ended."""
    order: list[str] = []
    waits = threading.Event()

    def wait() -> None:
        order.append("waits")
        waits.set()

    def work() -> None:
        with claimed(tmp_path, wait):
            order.append("second")

    other = threading.Thread(target=work)
    with claimed(tmp_path, never):
        other.start()
        assert waits.wait(timeout=30)
        order.append("first")
    other.join(timeout=30)
    assert order == ["waits", "first", "second"]


def never() -> None:
    """What is called when another run has the destination."""
    raise AssertionError("nobody else has it")


def test_preparing_clears_what_a_killed_run_left(tmp_path: Path) -> None:
    """Half-written files are deleted; finished ones and other files stay."""
    for name in (f"{local.PARTIAL}prune.h5", "prune.h5", "notes.partial", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    prepare(tmp_path, ["int8.tflite"])
    assert names(tmp_path) == {"prune.h5", "notes.partial", ".hidden"}


def test_files_that_no_run_made_are_not_overwritten(tmp_path: Path) -> None:
    """They are named, before any work; what a killed run has left may go."""
    for name in ("a.h5", "b.tflite", "other"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ManifestError, match=r"would be overwritten: a\.h5, b\.tflite\.") as caught:
        prepare(tmp_path, ["a.h5", "b.tflite", "c.tflite"])
    assert caught.value.where == str(tmp_path)
    prepare(tmp_path, ["c.tflite"])
    (tmp_path / local.MARKER).write_text("a.h5\nc.tflite")
    prepare(tmp_path, ["a.h5"])
    with pytest.raises(ManifestError, match=r"would be overwritten: b\.tflite\."):
        prepare(tmp_path, ["a.h5", "b.tflite"])
    (tmp_path / "d.h5").symlink_to("nowhere")
    with pytest.raises(ManifestError, match=r"would be overwritten: d\.h5\."):
        prepare(tmp_path, ["d.h5"])


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """As the destination, and above it."""
    (tmp_path / "file").write_bytes(b"x")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with (
            pytest.raises(InputError, match="a file is in the way") as caught,
            claimed(place, never),
        ):
            pass
        assert caught.value.where == str(place)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_destination_that_is_read_only_is_refused_before_any_work(tmp_path: Path) -> None:
    """Access denied is the input's fault: retrying does not help."""
    with tmpfs(tmp_path / "disk", "ro") as disk, pytest.raises(InputError, match="access denied"):
        prepare(disk, [])


def test_a_destination_that_is_full_is_refused_before_any_work(tmp_path: Path) -> None:
    """A full disk is the storage's fault, and the probe does not stay."""
    with tmpfs(tmp_path / "disk", "size=4k") as disk:
        (disk / "filler").write_bytes(b"x" * 4096)
        with pytest.raises(StorageError, match="the disk is full"):
            prepare(disk, [])
        assert names(disk) == {"filler"}


def test_publishing_puts_every_file_there(source: Path, tmp_path: Path) -> None:
    """With its bytes, and nothing else."""
    (tmp_path / "out").mkdir()
    publish(source, tmp_path / "out", [])
    assert names(tmp_path / "out") == NAMES
    for name in NAMES:
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()


def test_publishing_replaces_an_earlier_run(source: Path, tmp_path: Path) -> None:
    """Its files go, also those that have no successor; what is not its own stays."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a.h5", "old.tflite", "result.json", "mine.txt"):
        (out / name).write_bytes(b"old")
    replaced = ["a.h5", "old.tflite", "gone.already"]
    publish(source, out, replaced)
    assert names(out) == NAMES | {"mine.txt"}
    assert (out / "a.h5").read_bytes() == (source / "a.h5").read_bytes()


def test_what_a_killed_run_left_goes_with_the_next_result(source: Path, tmp_path: Path) -> None:
    """Else nobody would know later that paredown has made it; what it did not name stays."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("killed.tflite", "mine.txt"):
        (out / name).write_bytes(b"old")
    (out / MARKER).write_text("killed.tflite\na.h5")
    publish(source, out, [])
    assert names(out) == NAMES | {"mine.txt"}


def test_a_disk_that_fills_up_leaves_no_result_and_nothing_half_written(
    source: Path, tmp_path: Path
) -> None:
    """Also where an earlier result was there: it would stand beside files that are not its own.
    A mark stays that lets a retry replace what was written.
    """
    (source / "b.tflite").write_bytes(b"x" * 100_000)
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        (disk / "result.json").write_bytes(b"old")
        with pytest.raises(StorageError, match="the disk is full"):
            publish(source, disk, [])
        assert names(disk) == {"a.h5", local.MARKER}
        prepare(disk, NAMES)


def test_the_result_is_the_last_file_to_appear(tmp_path: Path) -> None:
    """A process that publishes is killed at many moments: a result is never there without the
    other files, all of them whole.
    """
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    sizes = {f"{letter}.h5": 3_000_000 for letter in "abcxyz"} | {"result.json": 10}
    for name, size in sizes.items():
        (source / name).write_bytes(b"x" * size)
    code = (
        "import sys; from pathlib import Path; from tests.storage.test_local import publish"
        "\nwhile True: publish(Path(sys.argv[1]), Path(sys.argv[2]), ['a.h5', 'x.h5'])"
    )
    out.mkdir()
    seen = set()
    for moment in range(12):
        command = [sys.executable, "-c", code, str(source), str(out)]
        with subprocess.Popen(command, cwd=ROOT) as process:
            deadline = time.monotonic() + 30
            while not names(out) and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.017 * moment)
            process.send_signal(signal.SIGKILL)
        whole = {name for name, size in sizes.items() if _size(out / name) == size}
        assert "result.json" not in names(out) or whole == set(sizes)
        assert all(_size(out / name) in (-1, size) for name, size in sizes.items())
        seen.add(len(whole))
        shutil.rmtree(out)
        out.mkdir()
    assert len(seen) > 1, "every moment was the same one"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def test_a_link_of_a_name_that_can_be_guessed_is_not_followed(tmp_path: Path) -> None:
    """A foreign folder may hold any link; half-written files have names that nobody knows."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    for number in (1, os.getpid()):
        (tmp_path / "out" / f"{local.PARTIAL}{number}-a.html").symlink_to(victim)
    place = Place("file", str(tmp_path / "out" / "a.html"))
    Local().write(place, b"new", {})
    assert victim.read_text() == "mine"
    assert not place.local.is_symlink()
    assert place.local.read_bytes() == b"new"
