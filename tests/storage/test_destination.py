"""Results in a folder; those in a bucket are in ``test_s3.py``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, ManifestError
from job.manifest.storage import StorageConfig
from job.storage.backend import Stores
from job.storage.destination import Destination, Publication
from job.storage.local import Local
from job.storage.place import Place

RUN = "f" * 64


def at(folder: Path) -> Destination:
    """The destination in a folder."""
    return Destination(Place("file", str(folder)), Local(), pytest.fail)


@pytest.fixture
def out(tmp_path: Path) -> Destination:
    """A folder that is there."""
    (tmp_path / "out").mkdir()
    return at(tmp_path / "out")


def digest(content: bytes) -> tuple[int, str]:
    """Bytes and SHA-256."""
    return len(content), hashlib.sha256(content).hexdigest()


def keep(folder: Path, pieces: dict[str, dict[str, bytes]]) -> Path:
    """A folder as the child process keeps it."""
    folder.mkdir(exist_ok=True)
    index: dict[str, Any] = {}
    for piece, files in pieces.items():
        for name, content in files.items():
            (folder / name).write_bytes(content)
        index[piece] = {"files": {name: digest(it)[1] for name, it in files.items()}}
    (folder / "index.json").write_text(json.dumps({"pieces": index}))
    return folder


def test_publishing(out: Destination, tmp_path: Path) -> None:
    """All files are there, those of an earlier result are not, and what is whole is known."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a.h5", "result.json"):
        (source / name).write_bytes(name.encode())
    for name in ("old.h5", "result.json"):
        (out.place.local / name).write_bytes(b"old")
    reported: list[int] = []
    publication = Publication(
        source, {"a.h5": "", "result.json": ""}, ["old.h5"], {}, lambda _: False
    )
    assert out.publish(publication, reported.append) == b"result.json" == out.read("result.json")
    assert sum(reported) == len("a.h5result.json")
    assert sorted(path.name for path in out.place.local.iterdir()) == ["a.h5", "result.json"]
    good = digest(b"a.h5")
    assert out.missing({"a.h5": good}) == []
    assert out.missing({"a.h5": (4, "0" * 64), "b": good}) == ["a.h5", "b"]
    assert out.read("none") is None
    with pytest.raises(ManifestError, match=r"overwritten: a\.h5"):
        out.prepare(RUN, ["a.h5", "b.h5"])


def test_what_is_kept_comes_back(out: Destination, tmp_path: Path) -> None:
    """As it was last kept, for this run alone, until it is forgotten."""
    work = keep(tmp_path / "work", {"one": {"1": b"1"}, "two": {"2": b"2"}})
    out.keep(RUN, work)
    out.keep(RUN, keep(work, {"one": {"1": b"1"}, "three": {"3": b"3"}}))
    there = out.place.local / ".resume" / RUN
    assert sorted(path.name for path in there.iterdir()) == ["1", "3", "index.json"]
    back, other = tmp_path / "back", tmp_path / "other"
    back.mkdir()
    other.mkdir()
    assert out.restore(RUN, back) == []
    assert {path.name: path.read_bytes() for path in back.iterdir() if path.suffix == ""} == {
        "1": b"1",
        "3": b"3",
    }
    assert out.restore("0" * 64, other) == []
    assert list(other.iterdir()) == []
    out.forget()
    assert list(out.place.local.iterdir()) == []


@pytest.mark.parametrize("harm", ["missing", "damaged", "outside", "index"])
def test_what_is_damaged_is_left_out(out: Destination, tmp_path: Path, harm: str) -> None:
    """And reported; the other checkpoints are used."""
    out.keep(RUN, keep(tmp_path / "work", {"one": {"1": b"1"}, "two": {"2": b"2"}}))
    there = out.place.local / ".resume" / RUN
    index = json.loads((there / "index.json").read_text())
    match harm:
        case "missing":
            (there / "2").unlink()
        case "damaged":
            (there / "2").write_bytes(b"!")
        case "outside":
            index["pieces"]["two"]["files"] = {"../2": digest(b"2")[1]}
            (there / "index.json").write_text(json.dumps(index))
        case "index":
            (there / "index.json").write_text("{")
    back = tmp_path / "back"
    back.mkdir()
    (reason,) = out.restore(RUN, back)
    assert reason.startswith("the index" if harm == "index" else "two: ")
    names = {path.name for path in back.iterdir()}
    assert names == (set() if harm == "index" else {"1", "index.json"})
    assert not (tmp_path / "2").exists()


def test_a_file_that_is_made_otherwise_is_kept_anew(out: Destination, tmp_path: Path) -> None:
    """Under the same name: after a crash, or since what was there is damaged."""
    work = keep(tmp_path / "work", {"one": {"1": b"1"}})
    out.keep(RUN, work)
    out.keep(RUN, keep(work, {"one": {"1": b"other"}}))
    there = out.place.local / ".resume" / RUN / "1"
    assert there.read_bytes() == b"other"
    for number, harmed in enumerate((b"!", b"other")):  # damaged, and not
        there.write_bytes(harmed)
        again, back = at(out.place.local), tmp_path / f"back{number}"
        back.mkdir()
        assert bool(again.restore(RUN, back)) == (harmed == b"!")
        again.keep(RUN, keep(tmp_path / f"made{number}", {"one": {"1": b"other"}}))
        assert there.read_bytes() == b"other"


def test_places_that_can_not_be_written(tmp_path: Path) -> None:
    """A web server, and a folder where a file is."""
    place = Place("https", "/out", "example.org")
    with pytest.raises(ManifestError, match="web server"):
        Stores(print).backend(place, StorageConfig())
    (tmp_path / "file").write_bytes(b"mine")
    destination = at(tmp_path / "file")
    with pytest.raises(InputError, match="a file is in the way"), destination.claimed(print):
        pass
