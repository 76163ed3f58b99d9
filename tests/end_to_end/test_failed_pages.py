"""The pages of a run that failed: why, until one succeeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from job.result.failure import Failure
from tests.conftest import paredown
from tests.end_to_end.test_pages import HTML, kind, names
from tests.support.buckets import QUICK, Buckets, run
from tests.support.identities import RESULTS
from tests.support.published import FAILED, PAGES, write_manifest
from tests.support.seaweed import Seaweed


@pytest.fixture(scope="module")
def buckets(seaweed: Seaweed, tiny: Path) -> Buckets:
    """The inputs of this file's tests."""
    made = Buckets(seaweed, "test-failed-pages/")
    made.put_inputs(tiny)
    return made


class TestFailures:
    """What a run leaves that fails."""

    def test_it_says_why_until_a_run_succeeds(self, tiny: Path, tmp_path: Path) -> None:
        """A failure replaces an earlier one; a success removes its files, and has its own."""
        missing = {"model": {"uri": "nowhere.h5"}}
        for sections in (QUICK | missing, QUICK | {"dataset": {"uri": "nowhere.npz"}}):
            ended = paredown("run", write_manifest(tmp_path, tiny, **sections))
            assert ended.code == 3
            failure = Failure.model_validate_json((tmp_path / "out" / "failure.json").read_bytes())
            error = ended.error
            assert (failure.what, failure.where, failure.to_do, failure.exit_code) == (
                error["what"],
                error["where"],
                error["to_do"],
                3,
            )
            assert names(tmp_path / "out") == FAILED
        assert "nowhere.npz" in (tmp_path / "out" / "report.html").read_text()
        without = QUICK | {"report": None}
        assert paredown("run", write_manifest(tmp_path, tiny, **without, model={"uri": "n"})).code
        assert names(tmp_path / "out") == {"failure.json"}
        assert paredown("run", write_manifest(tmp_path, tiny, **QUICK)).code == 0
        assert names(tmp_path / "out") & FAILED == PAGES

    def test_it_has_what_happened_before(self, tiny: Path, tmp_path: Path) -> None:
        """The stages that ended with their decisions, the one that failed, and the versions."""
        damaged = tmp_path / "damaged.h5"
        damaged.write_bytes((tiny / "model.h5").read_bytes()[:-3000])
        ended = paredown(
            "run", write_manifest(tmp_path, tiny, **QUICK, model={"uri": str(damaged)})
        )
        assert ended.code == 3
        failure = Failure.model_validate_json((tmp_path / "out" / "failure.json").read_bytes())
        begun = [it["stage"] for it in ended.events if it["event"] == "stage_started"]
        finished = [it["stage"] for it in ended.events if it["event"] == "stage_finished"]
        assert [it.name for it in failure.stages] == finished
        assert failure.stage == begun[-1]
        assert failure.versions["paredown"]
        assert failure.environment["cpu"]
        assert failure.manifest["training"]["batch_size"] == 32

    def test_a_wrong_manifest_leaves_nothing(self, tiny: Path, tmp_path: Path) -> None:
        """Nor does a destination that holds what paredown did not create."""
        assert paredown("run", write_manifest(tmp_path, tiny, prune={"x": 1})).code == 2
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", ["report.md", "failure.json"])
    def test_files_that_paredown_did_not_create_stay(
        self, tiny: Path, tmp_path: Path, name: str
    ) -> None:
        """The run fails as it would, and warns that its failure is not recorded."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / name).write_text("{}")
        ended = paredown("run", write_manifest(tmp_path, tiny, **QUICK, model={"uri": "no.h5"}))
        assert (ended.code, ended.error["error"]) == (3, "InputError")
        (warning,) = [it["message"] for it in ended.events if it["event"] == "warning"]
        assert name in warning
        assert names(tmp_path / "out") == {name}
        assert (tmp_path / "out" / name).read_text() == "{}"

    def test_a_result_that_is_there_stands(self, tiny: Path, out: Path) -> None:
        """A run that would replace it and fails leaves no trace of that."""
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        sections = QUICK | {"model": {"uri": "no.h5"}}
        assert paredown("run", write_manifest(out.parent, tiny, **sections)).code == 3
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before

    def test_in_a_bucket(self, buckets: Buckets) -> None:
        """With content types; and a success removes what is not its own."""
        uri = buckets.manifest("failed", **QUICK | {"model": {"uri": "nowhere.h5"}})
        assert run(buckets.store, "run", uri).code == 3
        assert buckets.there("failed").keys() == FAILED
        assert kind(buckets, "failed/report.html") == HTML
        assert kind(buckets, "failed/failure.json") == "application/json"
        made = run(buckets.store, "report", f"s3://{RESULTS}/{buckets.prefix}failed/")
        assert (made.code, made.err) == (0, "")
        assert run(buckets.store, "run", buckets.manifest("failed", **QUICK)).code == 0
        buckets.whole("failed")

    def test_pages_that_nobody_made_stay_in_a_bucket(self, buckets: Buckets) -> None:
        """No failure.json of paredown is beside them."""
        client = buckets.store.client()
        key = f"{buckets.prefix}foreign/report.html"
        client.put_object(Bucket=RESULTS, Key=key, Body=b"mine")
        uri = buckets.manifest("foreign", **QUICK | {"model": {"uri": "nowhere.h5"}})
        assert run(buckets.store, "run", uri).code == 3
        assert run(buckets.store, "run", buckets.manifest("foreign", **QUICK)).code == 2
        assert buckets.there("foreign").keys() == {"report.html"}
        assert buckets.get("foreign/report.html") == b"mine"
