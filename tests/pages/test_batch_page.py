"""``summary.html``: numbers that are the summary's, harmless names, links, sizes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin

import pytest

from job.batch.totals import summarize
from job.pages.batch_page import COLUMNS, batch_page
from job.result.summary import Row, Summary
from job.text import one_line
from tests.support.summaries import HOSTILE_NAMES, batch_summary, job_row

MOST_BYTES = 1_500_000


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: list[tuple[str, str, str]] = []
        """Value, place and shown text of each ``<data>``."""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.script = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag in ("data", "script", "style"):
            self._open.append(tag)
        if tag == "data":
            self.numbers.append((found["value"] or "", found["data-path"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        within = self._open[-1] if self._open else ""
        if within == "data":
            value, path, shown = self.numbers[-1]
            self.numbers[-1] = (value, path, shown + data)
        elif within == "script":
            self.script += data
        elif within != "style":
            self.text += data

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [found[name] or "" for _, found in self.tags if name in found]


def resolved(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def read(summary: Summary) -> Page:
    return Page(batch_page(summary))


def test_each_number_is_the_summarys() -> None:
    """Its place leads to its value, and it is shown as that value, rounded."""
    summary = batch_summary(24)
    document = json.loads(summary.model_dump_json())
    numbers = read(summary).numbers
    for value, path, shown in numbers:
        assert json.loads(value) == resolved(document, path), path
        plain = float(shown.replace(",", "").rstrip("%\u00a0 "))
        found = float(value) * (100 if "%" in shown else 1)
        digits = len(shown.rstrip("%\u00a0 ").partition(".")[2])
        assert plain == pytest.approx(found, abs=0.5001 * 10**-digits), path
    paths = {path for _, path, _ in numbers}
    assert {f"/totals/{it}" for it in ("jobs", "succeeded", "gate_missed", "ratio")} <= paths
    assert {f"/totals/{it}" for it in ("failed", "pending", "bytes", "smallest_bytes")} <= paths
    measured = {it.field for it in COLUMNS if it.how} - {"snr_db"}
    assert {f"/jobs/0/{it}" for it in measured} <= paths
    assert "/jobs/0/settings/prune.schedule.~0~1x" in paths


def test_the_pages_own_words_have_no_number() -> None:
    """But for the charts' axes, and the result's own sentences."""
    text = re.sub(r"(?s)<svg.*?</svg>|<code>.*?</code>", "", batch_page(batch_summary(24)))
    page = Page(text)
    known = [it for row in batch_summary(24).jobs for it in (row.name, row.model, row.reason)]
    rest = page.text
    for it in sorted(known, key=len, reverse=True):
        rest = rest.replace(it, "") if it else rest
    for it in ("it is no HDF5 file", "int8", "2026-11-30 12:00:00 UTC"):
        rest = rest.replace(it, "")
    assert re.findall(r".{0,20}\d.{0,20}", rest) == []


def test_the_totals_are_those_of_the_summary() -> None:
    """They are not added up again, and so are those that a summary of the past has."""
    totals = summarize("a", []).totals.model_copy(update={"jobs": 9, "failed": 9, "seconds": 77.0})
    page = read(batch_summary(3).model_copy(update={"totals": totals}))
    found = {path: shown for _, path, shown in page.numbers}
    assert (found["/totals/jobs"], found["/totals/failed"]) == ("9", "9")
    assert (found["/totals/succeeded"], found["/totals/seconds"]) == ("0", "77")
    assert "/totals/ratio" not in found


@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_same_summary_gives_the_same_page(count: int) -> None:
    """Byte for byte."""
    assert batch_page(batch_summary(count)) == batch_page(batch_summary(count))


def test_an_empty_batch_says_so() -> None:
    """And has no table, no script and no chart."""
    page = read(batch_summary(0))
    assert "This batch has no jobs." in page.text
    assert {"table", "script", "svg", "form"}.isdisjoint(tag for tag, _ in page.tags)


def test_a_batch_that_failed_as_a_whole_says_why_once() -> None:
    """With what to do, and every job; a reason of its own is another group."""
    rows = [job_row(f"job-{number:02d}", 5) for number in range(30)]
    rows.append(rows[0].model_copy(update={"name": "z", "reason": "Another one. (s3://d/d.npz)"}))
    page = read(summarize("all", rows))
    assert page.text.count("it is no HDF5 file.") == 1
    assert page.text.index("it is no HDF5") < page.text.index("Another one. (s3://d/d.npz)")
    assert "Check the file." in page.text
    assert "No job is ready." in page.text
    assert all(page.text.count(f"job-{number:02d}") >= 2 for number in range(30))
    assert "There is no chart" in page.text


def test_missed_gates_and_baselines_of_no_use_are_listed_with_their_reasons() -> None:
    """As the summary says them."""
    summary = batch_summary(16)
    text = read(summary).text
    sentences = [it for row in summary.jobs for it in (row.note, row.reason) if it]
    assert len(sentences) == 6
    for it in sentences:
        assert it.partition(" (s3:")[0] in text


def test_hostile_names_are_harmless_and_legible() -> None:
    """No tag of theirs, no address but the job's own page, nothing that turns text around."""
    names = tuple(f"{name}{number}" for name in HOSTILE_NAMES for number in range(8))
    summary = batch_summary(0, names).model_copy(update={"name": HOSTILE_NAMES[0]})
    text = batch_page(summary)
    page = Page(text)
    assert {"img", "iframe", "object", "link"}.isdisjoint(tag for tag, _ in page.tags)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert [it for _, found in page.tags for it in found if it.startswith("on")] == []
    assert [it for it in text if not it.isprintable() and it not in "\n\xa0"] == []
    for name in names:
        assert one_line(name) in page.text
    base = "s3://results/vision/summary.html".replace("s3", "https")
    for link in page.attributes("href"):
        there = urljoin(base, link)
        assert there.startswith("https://results/vision/"), link
    pages = {unquote(it).removeprefix("./") for it in page.attributes("href")}
    assert {f"{name}/report.html" for name in names if names.index(name) % 8 != 6} <= pages


def test_settings_that_are_the_same_in_all_jobs_are_said_once() -> None:
    """The table has those that differ."""
    page = read(batch_summary(4))
    assert page.text.count("dataset.scale") == page.text.count("quantize") == 1
    assert page.text.count("training.epochs") == 4
    alone = read(batch_summary(1))
    assert "The same in all jobs" not in alone.text
    assert "dataset.scale" in alone.text


def test_figures_that_no_job_has_have_no_column() -> None:
    """A number that is missing is an empty cell, and one that is not finite counts as missing."""
    rows = [job_row("a", 1), job_row("b", 2).model_copy(update={"snr_db": float("inf")})]
    rows = [it.model_copy(update={"quality": None, "metric": None, "drop": None}) for it in rows]
    page = read(summarize("all", rows))
    paths = " ".join(path for _, path, _ in page.numbers)
    assert "quality" not in paths
    assert "drop" not in paths
    assert "snr_db" not in paths
    assert "/jobs/1/agreement" in paths


def test_only_its_own_script_may_run_and_nothing_is_fetched() -> None:
    """By the script's digest in the page's policy."""
    page = read(batch_summary(3))
    (policy,) = [it for it in page.attributes("content") if "default-src" in it]
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert page.attributes("src") == []
    assert all(it.startswith(("./", "#chart")) for it in page.attributes("href"))


def test_a_job_of_a_model_with_another_name_has_the_models_file_beside_it() -> None:
    """Most characters of Chinese names are none of a job's."""
    row = job_row("model-1a2b3c4d", 1).model_copy(update={"model": "s3://m/\u6a21\u578b.h5"})
    assert "\u6a21\u578b.h5" in read(summarize("all", [row])).text
    known = Row(name="a-b", model="s3://m/a/b.h5", status="pending")
    assert "b.h5" not in read(summarize("all", [known])).text


def test_a_thousand_jobs_make_a_page_that_can_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them are in it; the time is printed."""
    summary = batch_summary(1000)
    started = time.monotonic()
    text = batch_page(summary)
    with capsys.disabled():
        seconds = time.monotonic() - started
        print(f"\n1,000 jobs: {seconds:.2f} s, {len(text.encode()):,} bytes")  # noqa: T201
    assert len(text.encode()) <= MOST_BYTES
    assert text.count("<tr") == 1001
