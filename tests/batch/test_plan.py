"""What a batch is going to do: listed and discovered jobs, with their sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from job.batch.plan import Planned, _folder_of, plan
from job.errors import InputError
from job.storage.backend import Stores
from job.storage.place import Place, find_place
from tests.support.manifests import read_batch

DATA = {"dataset": {"uri": "data.npz"}}


def planned(folder: Path, warnings: list[str] | None = None, **sections: Any) -> list[Planned]:
    """The plan of a batch that lies in a folder."""
    document = {"kind": "batch", "name": "many", "defaults": DATA} | sections
    batch = read_batch(json.dumps(document))
    warn = (warnings if warnings is not None else []).append
    return plan(batch, Place("file", str(folder)), Stores(warn), warn)


def touch(folder: Path, *names: str) -> None:
    """Files of as many bytes as their names have characters."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_listed_jobs_come_first_and_found_ones_sorted(tmp_path: Path) -> None:
    """A model that is listed is not found once more; what is no model is none."""
    touch(tmp_path, "m/z.keras", "m/a/b.h5", "m/a/c.txt", "m/listed.h5", "m/archive.tar.gz")
    jobs = planned(
        tmp_path,
        jobs=[{"name": "mine", "model": {"uri": "m/listed.h5"}}],
        discover={"uri": "m", "pattern": "**"},
    )
    assert [it.job.name for it in jobs] == ["mine", "a-b", "archive", "z"]
    assert [it.bytes for it in jobs] == [11, 8, 16, 9]
    assert jobs[1].job.model.uri == str(tmp_path / "m/a/b.h5")


def test_a_pattern_stays_in_its_folder(tmp_path: Path) -> None:
    """But for ``**``."""
    touch(tmp_path, "m/a.h5", "m/b/c.h5", "m/b/d.keras")
    found = planned(tmp_path, discover={"uri": "m", "pattern": "*/*.h5"})
    assert [it.job.name for it in found] == ["b-c"]
    found = planned(tmp_path, discover={"uri": "m"})
    assert [it.job.name for it in found] == ["a"]


def test_names_that_two_models_would_have(tmp_path: Path) -> None:
    """Both get theirs with the suffix, and it is said; a disk may take A for a."""
    warnings: list[str] = []
    touch(tmp_path, "m/net.h5", "m/net.keras", "m/NET.hdf5", "m/other.h5")
    found = planned(tmp_path, warnings, discover={"uri": "m"})
    assert [it.job.name for it in found] == ["NET.hdf5", "net.h5", "net.keras", "other"]
    assert len(warnings) == 3


def test_names_that_would_be_the_same_get_a_digest(tmp_path: Path) -> None:
    """``a/b`` and ``a-b`` with the same suffix, or two that differ only in what no name has."""
    warnings: list[str] = []
    touch(tmp_path, "m/a/b.h5", "m/a-b.h5", "m/\u732b-x.h5", "m/\u72ac-x.h5", "m/c.h5")
    everything = {"uri": "m", "pattern": "**"}
    names = [it.job.name for it in planned(tmp_path, warnings, discover=everything)]
    assert [re.sub(r"(?<=-)[0-9a-f]{8}$", "#", name) for name in names] == [
        *("a-b.h5-#", "a-b.h5-#", "c", "x.h5-#", "x.h5-#")
    ]
    assert len(set(names)) == 5
    assert len(warnings) == 4
    assert names == [it.job.name for it in planned(tmp_path, discover=everything)]


HOSTILE = [
    *("<script>alert(1)<.h5", "'\"`$(id)`.h5", "=cmd|' C calc'!A0.h5", "-rf.h5", "%2e%2e.h5"),
    *(
        "\u202egpj.exe\u05e9\u05dc\u05d5\u05dd.h5",
        "\u6a21\u578b.h5",
        "\u6a21\u578b.keras",
        "a\nwarning: b.h5",
    ),
    *("a\twarning: b.h5", "\x1b[2J.h5", "summary.json.h5", ".h5", "...h5", "~.h5", "\\.h5"),
    *("\u6a21" * 80 + ".h5", "x" * 252 + ".h5", "s3:.h5", "CON.h5", "a b;c&d|e?#.h5"),
]


def test_whatever_a_model_is_called_its_jobs_name_is_harmless(tmp_path: Path) -> None:
    """It is a folder, a key and a label; the model itself is the one that was found."""
    warnings: list[str] = []
    touch(tmp_path, *(f"m/{name}" for name in HOSTILE))
    found = planned(tmp_path, warnings, discover={"uri": "m"})
    names = [it.job.name for it in found]
    assert {it.job.model.uri for it in found} == {f"{tmp_path}/m/{name}" for name in HOSTILE}
    assert [
        name for name in names if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name, re.ASCII)
    ] == []
    assert len({name.casefold() for name in names}) == len(HOSTILE)
    assert "h5" not in names
    assert {"script-alert-1", "cmd-C-calc-A0", "rf", "2e-2e", "id", "summary.json.h5"} <= {*names}
    assert all(it.isprintable() for it in warnings)
    assert all(find_place(it.job.model.uri, Place("file", "/")).local.exists() for it in found)


def test_odd_names_make_names(tmp_path: Path) -> None:
    """Of what is allowed in one; long ones are shortened, and stay different."""
    long = "x" * 150
    touch(tmp_path, "m/größe 1.h5", f"m/{long}1.h5", f"m/{long}2.h5", "m/ö.h5", "m/___.h5")
    names = [it.job.name for it in planned(tmp_path, discover={"uri": "m"})]
    assert "gr-e-1" in names
    assert len([name for name in names if name.startswith("model-")]) == 2
    assert len([name for name in names if len(name) == 100]) == 2
    assert len(set(names)) == 5


def test_a_batch_does_not_find_its_own_results(tmp_path: Path) -> None:
    """They are models, too."""
    touch(tmp_path, "m/a.h5", "m/out/a/prune.h5", "m/outer/b.h5")
    found = planned(
        tmp_path,
        discover={"uri": "m", "pattern": "**/*.h5"},
        destination={"uri": "m/out"},
    )
    assert [it.job.name for it in found] == ["a", "outer-b"]


def test_places_are_the_same_however_they_are_named(tmp_path: Path) -> None:
    """From the root, by way of another folder, or through a link."""
    touch(tmp_path, "m/a.h5", "m/out/a/prune.h5", "m/b.h5")
    (tmp_path / "batch").mkdir()
    (tmp_path / "link").symlink_to("m")
    every = {"uri": "../m", "pattern": "**/*.h5"}
    for out, listed in ((tmp_path / "m/out", tmp_path / "m/a.h5"), ("../link/out", "../link/a.h5")):
        found = planned(
            tmp_path / "batch",
            discover=every,
            destination={"uri": str(out)},
            jobs=[{"name": "own", "model": {"uri": str(listed)}}],
        )
        assert [it.job.name for it in found] == ["own", "b"]


@pytest.mark.parametrize(
    ("keys", "folder"),
    [
        (["/x/a.h5", "y/c.h5"], ""),
        (["x//a.h5", "x//b.h5"], "x//"),
        (["x/ab/a.h5", "x/ac/a.h5"], "x/"),
        (["x/a.h5"], "x/"),
        (["a.h5"], ""),
    ],
)
def test_keys_have_a_prefix_in_common_whatever_they_are(keys: list[str], folder: str) -> None:
    """They are no paths."""
    assert _folder_of(keys) == folder


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    """A folder that is not there is an empty one for a store, and so here."""
    with pytest.raises(InputError, match=r"No model there matches \*\.keras"):
        planned(tmp_path, discover={"uri": "m", "pattern": "*.keras"})


def test_a_models_folder_has_the_size_of_its_files(tmp_path: Path) -> None:
    """And what is not there has none: its own job reports why."""
    touch(tmp_path, "saved/saved_model.pb", "saved/variables/variables.index")
    jobs = [{"name": "a", "model": {"uri": "saved"}}, {"name": "b", "model": {"uri": "nowhere.h5"}}]
    assert [it.bytes for it in planned(tmp_path, jobs=jobs)] == [
        len("saved/saved_model.pb") + len("saved/variables/variables.index"),
        0,
    ]
