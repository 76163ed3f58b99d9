"""The summary's rows: what is ready, what it is worth, and why others are not."""

from __future__ import annotations

import csv
import io

import pytest

from job.batch.collect import FORMULA, as_csv
from job.batch.rows import pending, row_of, row_of_failure
from job.batch.summarize import MOST_ROWS, table, table_notes, table_rows
from job.batch.totals import exit_code, summarize
from job.errors import InputError, StorageError
from job.result.failure import failure_of
from job.result.result import GateResult
from job.result.summary import Row
from job.run.earlier import parse_failure
from job.text import one_line
from tests.support.published import make_result


def failed(name: str) -> Row:
    """The row of a job that failed."""
    return row_of_failure(failure_of(name, InputError("broken"), 1.0), "m.h5")


def test_the_smallest_that_passes_every_gate_is_the_one_to_ship() -> None:
    """Where the smallest of all has missed one, it is another."""
    result = make_result().model_copy(update={"gates": [], "status": "succeeded"})
    row = row_of(result, "a")
    assert (row.status, row.exit_code, row.reason) == ("succeeded", 0, "")
    assert (row.artifact, row.encoding, row.smallest_bytes) == ("int8", "zip", 15 * 50)
    assert (row.path, row.ratio) == ("a/int8.tflite.zip", round(11 * 1000 / (15 * 50), 2))
    assert (row.metric, row.baseline_quality, row.quality) == ("accuracy", 0.9876, 0.98)
    assert row.drop == pytest.approx(0.0076)
    larger = result.artifacts[1].model_copy(update={"variant": "float16", "encoded": {}})
    gate = {"type": "max_drop", "metric": "accuracy", "value": 0.001}
    missed = GateResult(
        gate=gate, artifact="int8", value=1, limit=0, passed=False, explanation="too much"
    )
    asked = {"gates": [gate]}
    gated = {"gates": [missed], "status": "gate_missed", "manifest": asked}
    worse = {**result.artifacts[1].metrics, "accuracy": 0.97}
    better = {**result.artifacts[1].metrics, "accuracy": 0.987}
    for metrics, artifact, passes in ((worse, "int8", False), (better, "float16", True)):
        other = larger.model_copy(update={"metrics": metrics})
        update = {**gated, "artifacts": [*result.artifacts, other]}
        row = row_of(result.model_copy(update=update), "a")
        assert (row.status, row.exit_code, row.reason) == (
            "gate_missed",
            5,
            "gate missed: too much",
        )
        assert (row.artifact, row.passes) == (artifact, passes)
        assert summarize("all", [row]).totals.smallest_bytes == (990 if passes else 0)
    assert (row.encoding, row.path, row.quality) == ("file", "a/int8.tflite", 0.987)


def test_numbers_in_the_table_for_spreadsheets_are_numbers() -> None:
    """Negative ones too: only text is prefixed."""
    better = pending("a", "m.h5").model_copy(update={"drop": -0.0125, "snr_db": -1e-05})
    better = better.model_copy(update={"settings": {"training.x": -2, "training.y": "-2"}})
    (line,) = csv.DictReader(io.StringIO(as_csv(summarize("all", [better]))))
    assert (line["drop"], line["snr_db"]) == ("-0.0125", "-1e-05")
    assert (line["training.x"], line["training.y"]) == ("-2", "'-2")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "name",
    [
        "a;=cmd|' /C calc'!A0",
        'a; "+1',
        "a\n=1",
        "a\r\n@x",
        '=1",=2',
        '"=1',
        "a\t-1",
        ";;=1",
        "a;\uff1d1",
    ],
)
def test_no_cell_begins_a_formula_whatever_separates_cells(name: str, separator: str) -> None:
    """A spreadsheet may take semicolons for commas, and each line feed for a row's end."""
    row = pending(name, name).model_copy(update={"reason": name, "settings": {name: name}})
    text = as_csv(summarize("all", [row]))
    assert len(text.splitlines()) == 2
    for cells in csv.reader(io.StringIO(text), delimiter=separator):
        assert [it for it in cells if it.lstrip(' "').startswith(FORMULA)] == []


def test_a_table_has_one_line_for_each_job_whatever_its_name_is() -> None:
    """A folder at the destination may have any name."""
    rows = [failed("a\nwarning: no"), pending("b\u202e\x1b[2J", "")]
    made = table(summarize("x\ny", rows))
    shown = [made.title, *made.notes, *(cell for row in made.rows for cell in row)]
    assert [it for it in shown if not it.isprintable()] == []
    assert [row[0] for row in made.rows] == ["a\\nwarning: no", "b\\u202e\\x1b[2J"]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([0, 0], 0),
        ([0, 5], 5),
        ([5, 3, 0], 3),
        ([3, 4, 5], 4),
        ([4, 6, 3], 6),
        ([4, 1], 1),
        ([2, 5], 3),
        ([None, 0], 0),
    ],
)
def test_a_batch_ends_with_the_code_of_its_worst_job(codes: list[int], worst: int) -> None:
    """What a retry may fix goes before what it will not."""
    jobs = [Row(name=str(it), status="failed", exit_code=it) for it in codes]
    assert exit_code(jobs) == worst


def test_a_failure_is_read_back_as_it_was_written() -> None:
    """In one line; what is none is none."""
    failure = failure_of("a", StorageError("It is\n full.", where="s3://b/k", hint="Wait."), 1.5)
    assert parse_failure(failure.model_dump_json().encode()) == failure
    row = row_of_failure(failure, "m.h5")
    assert (row.exit_code, row.reason, row.to_do) == (6, "It is full. (s3://b/k)", "Wait.")
    assert parse_failure(b"{}") is None
    assert parse_failure(None) is None


def test_totals_add_up() -> None:
    """Of what is ready alone."""
    failure = failure_of("b", InputError("no"), 2)
    ready = row_of(make_result().model_copy(update={"gates": [], "status": "succeeded"}), "c")
    summary = summarize("all", [ready, row_of_failure(failure, ""), pending("a", "")])
    assert [it.name for it in summary.jobs] == ["a", "b", "c"]
    totals = summary.totals
    assert (totals.jobs, totals.succeeded, totals.failed, totals.pending) == (3, 1, 1, 1)
    assert totals.bytes == ready.bytes
    assert totals.smallest_bytes == ready.smallest_bytes
    assert summary.exit_code == 3


def test_a_spreadsheet_is_given_no_formula() -> None:
    """A name of a model may look like one."""
    summary = summarize("all", [pending("a", "=cmd|' /C calc'!A0"), pending("b", "-1")])
    lines = list(csv.DictReader(io.StringIO(as_csv(summary))))
    assert [it["model"] for it in lines] == ["'=cmd|' /C calc'!A0", "'-1"]
    for text in ("\t=1", " =1", "\n@x", "\r+1", "\uff1d1", "\ufeff=1"):
        summary = summarize("all", [pending("a", text)])
        assert "\r" not in as_csv(summary)
        (line,) = csv.DictReader(io.StringIO(as_csv(summary), newline=""))
        assert line["model"] == f"'{one_line(text)}"


def test_the_csv_has_a_column_for_each_setting_that_differs_in_a_job() -> None:
    """Empty where a job has the default; a name in it may look like a formula, too."""
    changed = {"training.epochs": 4, "quantize": [{"type": "int8"}], "training.loss.=1": "huber"}
    rows = [
        Row(name="a", status="succeeded", settings=changed, quality=0.5, latency_ms=0.25),
        Row(name="b", status="failed", waited_s=1.5, drop=-0.25),
    ]
    text = as_csv(summarize("all", rows))
    first, second = csv.DictReader(io.StringIO(text))
    assert first["training.epochs"] == "4"
    assert first["quantize"] == '[{"type": "int8"}]'
    assert first["training.loss.=1"] == "huber"
    assert (first["quality"], first["latency_ms"], first["sparsity"]) == ("0.5", "0.25", "")
    assert (second["training.epochs"], second["waited_s"], second["drop"]) == ("", "1.5", "-0.25")
    skipped = Row(name="a", status="succeeded", settings={"prune": None})
    (line,) = csv.DictReader(io.StringIO(as_csv(summarize("all", [skipped]))))
    assert line["prune"] == "null"
    named = Row(name="a", status="succeeded", settings={"=1": True})
    assert "'=1" in as_csv(summarize("all", [named])).splitlines()[0].split(",")


def test_a_job_whose_baseline_is_no_better_than_a_constant_is_marked() -> None:
    """In its row of the table, and in a line under it."""
    row = Row(name="a", status="succeeded", exit_code=0, note="the baseline is no better")
    summary = summarize("all", [row])
    assert table_rows(summary)[0][1] == "ready (!)"
    assert "(!) a: the baseline is no better" in table_notes(summary)


def test_of_very_many_those_that_are_not_ready_are_shown() -> None:
    """The others are in summary.csv."""
    many = [Row(name=f"{number:04}", status="succeeded", exit_code=0) for number in range(500)]
    summary = summarize("all", [*many, pending("zzz", "")])
    shown = table_rows(summary)
    assert len(shown) == MOST_ROWS
    assert shown[0][0] == "zzz"
    assert table_notes(summary)[0] == "301 more are in summary.csv"
