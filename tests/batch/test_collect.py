"""The shard that ends last writes the summary; the others write none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from job.batch import collect, records
from job.batch.collect import summarize_if_last
from job.batch.rows import pending
from job.batch.totals import summarize
from job.errors import InputError
from job.manifest.storage import StorageConfig
from job.result.failure import failure_of
from job.result.summary import Summary
from job.storage.backend import Stores
from job.storage.destination import Notes
from job.storage.place import Place

SHARDS = {"a": 0, "b": 0, "c": 1}


class Watched(Notes):
    """Notes that count the writes of a summary, and let something happen before one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Place("file", str(folder)), Stores(pytest.fail), StorageConfig())
        self.written = 0
        self.before: list[Callable[[], None]] = []

    def write(self, name: str, content: bytes) -> None:
        if name == "summary.json":
            self.written += 1
            if self.before:
                self.before.pop()()
        super().write(name, content)


def fail(notes: Notes, name: str, what: str = "broken") -> None:
    """A job ends."""
    records.mark_failed(notes, failure_of(name, InputError(what), 1.0))


def statuses(folder: Path) -> dict[str, str]:
    """What the summary says."""
    summary = Summary.model_validate(json.loads((folder / "summary.json").read_text()))
    return {row.name: row.reason or row.status for row in summary.jobs}


def test_only_the_last_shard_writes_it(tmp_path: Path) -> None:
    """A job that failed is finished; one of which nothing is there is not."""
    notes = Watched(tmp_path)
    fail(notes, "a")
    fail(notes, "b")
    assert not summarize_if_last(notes, SHARDS, [], pytest.fail)
    assert not (tmp_path / "summary.json").exists()
    fail(notes, "c")
    assert summarize_if_last(notes, SHARDS, [], pytest.fail)
    assert statuses(tmp_path) == dict.fromkeys("abc", "broken")
    assert (tmp_path / "summary.csv").exists()
    assert notes.written == 1
    assert summarize_if_last(notes, SHARDS, [], pytest.fail)  # tried again, it is its own


def test_what_ends_while_it_is_written_is_in_it(tmp_path: Path) -> None:
    """Two shards that end at once: whichever writes last has seen what the other did."""
    notes = Watched(tmp_path)
    for name in SHARDS:
        fail(notes, name)

    def change() -> None:
        (tmp_path / "c" / "result.json").write_text("{}")

    notes.before = [change]
    assert summarize_if_last(notes, SHARDS, [], pytest.fail)
    assert notes.written == 2
    notes.before = [change] * 9  # the same again changes nothing
    assert summarize_if_last(notes, SHARDS, [], pytest.fail)
    assert notes.written == 3
    assert collect.MOST_TIMES < 9


def test_a_file_that_paredown_did_not_create_stays(tmp_path: Path) -> None:
    """The jobs are done all the same, so that is a warning."""
    notes, said = Watched(tmp_path), list[str]()
    (tmp_path / "summary.json").write_text("mine")
    for name in SHARDS:
        fail(notes, name)
    assert not summarize_if_last(notes, SHARDS, [], said.append)
    assert (tmp_path / "summary.json").read_text() == "mine"
    assert "No summary of the batch is written" in said[0]


def test_a_summary_is_legible_and_exact_whatever_a_models_name_is(tmp_path: Path) -> None:
    """What would move the cursor or turn the text around is written as its escape."""
    notes = Watched(tmp_path)
    name = "\u202e\x9b2J <b>\u6a21\u578b \U0001f600\U000e0001\n'\"%2e.h5"
    rows = [pending("a", name)]
    collect.write_summary(notes, summarize("all", rows), pytest.fail)
    text = (tmp_path / "summary.json").read_text()
    assert [it for it in text.split("\n") if not it.isprintable()] == []
    assert "\u6a21\u578b \U0001f600" in text
    assert Summary.model_validate_json(text).jobs == rows
