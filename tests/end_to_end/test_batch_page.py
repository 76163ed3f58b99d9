"""The page of a batch, which leads to those of its jobs."""

from __future__ import annotations

import json
from pathlib import Path

from job.result.failure import Failure
from job.result.result import Result
from tests.conftest import Run, paredown
from tests.end_to_end.test_pages import names
from tests.support.buckets import QUICK
from tests.support.published import write_manifest


def test_a_batch_has_a_page_that_leads_to_those_of_its_jobs(tiny: Path, tmp_path: Path) -> None:
    """Also of a job that failed; of one that asked for none there is no link."""
    asked = json.loads(write_manifest(tmp_path, tiny, **QUICK).read_text())
    model = asked.pop("model")
    del asked["name"], asked["destination"]
    jobs = [
        {"name": "good", "model": model},
        {"name": "bad", "model": {"uri": "nowhere.h5"}},
        {"name": "plain", "model": model, "report": None},
    ]
    batch = {"kind": "batch", "name": "b", "defaults": asked, "jobs": jobs, "workers": 1}
    (tmp_path / "batch.json").write_text(json.dumps(batch | {"destination": {"uri": "all"}}))
    ended: Run = paredown("run", tmp_path / "batch.json")
    assert ended.code == 3
    folder = tmp_path / "all"
    summary = json.loads((folder / "summary.json").read_text())
    assert {it["name"]: it["report"] for it in summary["jobs"]} == {
        "bad": "bad/report.html",
        "good": "good/report.html",
        "plain": None,
    }
    assert all((folder / it["report"]).is_file() for it in summary["jobs"] if it["report"])
    assert Failure.model_validate_json((folder / "bad" / "failure.json").read_bytes()).manifest
    assert Result.model_validate_json((folder / "good" / "result.json").read_bytes())
    page = (folder / "summary.html").read_bytes()
    (folder / "summary.html").unlink()
    made = paredown("report", folder)
    assert (made.code, made.out) == (0, f"{folder / 'summary.html'}\n")
    assert (folder / "summary.html").read_bytes() == page
    assert paredown("summarize", folder, "--output", tmp_path / "copy").code == 0
    assert names(tmp_path / "copy") == {"summary.json", "summary.csv", "summary.html"}
