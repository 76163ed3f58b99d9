"""The pages of a run: made and replaced with it, and made again from its result."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job.result.failure import Failure
from tests.conftest import paredown
from tests.support.buckets import QUICK, Buckets, run
from tests.support.identities import RESULTS
from tests.support.published import FAILED, PAGES, read_result, write_manifest
from tests.support.seaweed import Seaweed

HTML, MARKDOWN = "text/html; charset=utf-8", "text/markdown; charset=utf-8"
# matplotlib and Jinja2 need it: with this in its place, no page can be made.
BROKEN = "raise ImportError('broken here')\n"


@pytest.fixture(scope="module")
def buckets(seaweed: Seaweed, tiny: Path) -> Buckets:
    """The inputs of this file's tests."""
    made = Buckets(seaweed, "test-pages/")
    made.put_inputs(tiny)
    return made


def names(folder: Path) -> set[str]:
    """Of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def kind(buckets: Buckets, name: str) -> str:
    """The content type that the store tells of an object of the results."""
    head = buckets.store.client().head_object(Bucket=RESULTS, Key=f"{buckets.prefix}{name}")
    return str(head["ContentType"])


def test_the_pages_are_published_before_the_result(buckets: Buckets) -> None:
    """After the models, with their content types."""
    ended = run(buckets.store, "run", buckets.manifest("kinds", **QUICK))
    assert (ended.code, ended.err) == (0, "")
    buckets.whole("kinds")
    there = buckets.there("kinds")
    assert (kind(buckets, "kinds/report.html"), kind(buckets, "kinds/report.md")) == (
        HTML,
        MARKDOWN,
    )
    assert kind(buckets, "kinds/result.json") == "application/json"
    last = max(it.modified for name, it in there.items() if name.startswith("float32"))
    assert last <= there["report.html"].modified <= there["result.json"].modified


def test_a_page_that_is_gone_or_made_again_does_not_have_the_work_done_again(
    buckets: Buckets,
) -> None:
    """In a bucket too, where the digests of objects are looked at."""
    uri = buckets.manifest("again", **QUICK)
    assert run(buckets.store, "run", uri).code == 0
    where = {"Bucket": RESULTS, "Key": f"{buckets.prefix}again/report.html"}
    buckets.store.client().put_object(**where, Body=b"another")
    buckets.store.client().delete_object(**where | {"Key": f"{buckets.prefix}again/report.md"})
    assert run(buckets.store, "run", uri).events[-1]["already_done"] is True
    there = f"s3://{RESULTS}/{buckets.prefix}again"
    made = run(buckets.store, "report", there)
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [f"{there}/report.html", f"{there}/report.md"]
    assert kind(buckets, "again/report.html") == HTML
    assert buckets.get("again/report.html") != b"another"
    assert run(buckets.store, "run", uri).events[-1]["already_done"] is True


def test_the_same_result_has_the_same_pages(out: Path) -> None:
    """Those of the run are those that are made again."""
    before = {name: (out / name).read_bytes() for name in PAGES}
    for result in (out, out / "result.json"):
        made = paredown("report", result)
        assert (made.code, made.err) == (0, "")
        assert {name: (out / name).read_bytes() for name in PAGES} == before


def test_without_a_report_there_are_no_pages(tiny: Path, tmp_path: Path) -> None:
    """Nor those of a result that is replaced."""
    assert paredown("run", write_manifest(tmp_path, tiny, **QUICK)).code == 0
    assert names(tmp_path / "out") >= PAGES
    place = {"uri": "out", "overwrite": True}
    sections = QUICK | {"quantize": [{"type": "float16"}], "report": None, "destination": place}
    ended = paredown("run", write_manifest(tmp_path, tiny, **sections))
    assert ended.code == 0, ended.err
    assert names(tmp_path / "out") & FAILED == set()
    assert "float16.tflite" in names(tmp_path / "out")


@pytest.mark.parametrize("report", [None, {}])
def test_a_page_that_paredown_did_not_create_is_left_alone(
    tiny: Path, tmp_path: Path, report: Any
) -> None:
    """Also where the run would make none: the next one would take it for its own."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("mine")
    ended = paredown("run", write_manifest(tmp_path, tiny, **QUICK, report=report))
    assert ended.code == 2
    assert "report.html" in ended.error["what"]
    assert (tmp_path / "out" / "report.html").read_text() == "mine"
    assert names(tmp_path / "out") == {"report.html"}


def test_the_pages_of_an_earlier_result_are_replaced(tiny: Path, out: Path) -> None:
    """Those that ``paredown report`` put there, too."""
    (out / "report.html").write_text("of an earlier version")
    place = {"uri": "out", "overwrite": True}
    sections = QUICK | {"quantize": [{"type": "float16"}], "destination": place}
    ended = paredown("run", write_manifest(out.parent, tiny, **sections))
    assert ended.code == 0, ended.err
    assert (out / "report.html").read_text() != "of an earlier version"


def test_the_work_is_not_lost_where_there_can_be_no_page(tiny: Path, tmp_path: Path) -> None:
    """The result is published, and says why there is none; later it can be made."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "markupsafe.py").write_text(BROKEN)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "broken")}
    manifest = write_manifest(tmp_path, tiny, **QUICK)
    ended = paredown("run", manifest, env=environment)
    assert (ended.code, ended.err) == (0, "")
    result = read_result(tmp_path / "out")
    (warning,) = [it for it in result["warnings"] if "report.html" in it]
    assert "broken here" in warning
    assert warning in [it["message"] for it in ended.events if it["event"] == "warning"]
    assert names(tmp_path / "out") & PAGES == set()
    failed = paredown("report", tmp_path / "out", env=environment)
    assert failed.code == 1
    assert "broken here" in failed.err
    assert paredown("report", tmp_path / "out").code == 0
    assert names(tmp_path / "out") >= PAGES


def test_nothing_is_written_into_the_home(tiny: Path, tmp_path: Path) -> None:
    """Nor said about a home that can't be written to; and no scratch is left."""
    for name in ("home", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "home").chmod(0o500)
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "scratch"),
    }
    for variable in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(variable, None)
    ended = paredown("run", write_manifest(tmp_path, tiny, **QUICK), env=environment)
    assert (ended.code, ended.err) == (0, "")
    made = paredown("report", tmp_path / "out", env=environment)
    assert (made.code, made.err) == (0, "")
    assert (names(tmp_path / "home"), names(tmp_path / "scratch")) == (set(), set())


def of_an_earlier_version(folder: Path) -> bytes:
    """Without what this version added."""
    document = read_result(folder)
    for artifact in document["artifacts"]:
        for name in ("layer_bits", "times_smaller"):
            artifact.pop(name, None)
    for layer in document["layers"]:
        for name in ("weights", "kernel_shape"):
            layer.pop(name, None)
    document["manifest"].pop("report", None)
    return json.dumps(document).encode()


class TestCommand:
    """``paredown report``."""

    @pytest.mark.parametrize("how", ["folder", "file", "uri", "-"])
    def test_the_pages_go_elsewhere(self, done: Path, tmp_path: Path, how: str) -> None:
        """Of a result of an earlier version; a second time, too, as they are the same."""
        content = of_an_earlier_version(done)
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / "result.json").write_bytes(content)
        file = tmp_path / "old" / "result.json"
        result = {"folder": str(file.parent), "file": str(file), "uri": file.as_uri(), "-": "-"}[
            how
        ]
        for _ in range(2):
            made = paredown("report", result, "--output", tmp_path / "new", input=content.decode())
            assert (made.code, made.err) == (0, "")
            assert made.out.splitlines() == [
                str(tmp_path / "new" / name) for name in ("report.html", "report.md")
            ]
        assert names(tmp_path / "new") == PAGES
        assert names(tmp_path / "old") == {"result.json"}

    def test_what_paredown_did_not_create_is_not_replaced(self, done: Path, tmp_path: Path) -> None:
        """No result is beside it that says whose it is."""
        (tmp_path / "report.md").write_text("mine")
        refused = paredown("report", done, "--output", tmp_path)
        assert refused.code == 2
        assert "report.md" in refused.err
        assert names(tmp_path) == {"report.md"}
        (tmp_path / "result.json").write_text("{}")
        assert paredown("report", done, "--output", tmp_path).code == 2
        assert (tmp_path / "report.md").read_text() == "mine"

    def test_a_result_comes_before_a_failure(self, out: Path) -> None:
        """Both are there where a run was killed at its end."""
        failure = Failure(name="x", exit_code=4, error="StageError", what="no", at="", seconds=1)
        (out / "failure.json").write_text(failure.model_dump_json())
        before = (out / "report.html").read_bytes()
        assert paredown("report", out).code == 0
        assert (out / "report.html").read_bytes() == before
        assert paredown("report", out / "failure.json").code == 0
        assert (out / "report.html").read_bytes() != before

    @pytest.mark.parametrize(
        ("make", "code", "says"),
        [
            (lambda _: None, 3, "no such file"),
            (lambda path: path.mkdir(), 3, "no result in this folder"),
            (lambda path: path.write_text("{"), 3, "not JSON"),
            (lambda path: path.write_bytes(b"\xff\xfe"), 3, "not JSON"),
            (lambda path: path.write_text("[" * 100_000), 3, "not JSON"),
            (lambda path: path.write_text("[1]"), 3, "neither a result of paredown"),
            (lambda path: path.write_text('{"a": 1}'), 3, "neither a result of paredown"),
            (
                lambda path: path.write_text('{"run_id": 1, "artifacts": 2}'),
                3,
                "This result.json can't be read",
            ),
            (
                lambda path: path.write_text('{"schema_version": 2, "run_id": 1, "artifacts": 2}'),
                3,
                "schema_version 2",
            ),
            (lambda path: os.truncate(path, (1 << 28) + 1), 3, "more than 268,435,456 bytes"),
            (os.mkfifo, 3, "this is no file"),
        ],
    )
    def test_what_is_no_result_is_one_error(
        self, tmp_path: Path, make: Callable[[Path], Any], code: int, says: str
    ) -> None:
        """What, where, what to do; nothing is written."""
        path = tmp_path / "x.json"
        if says.startswith("more than"):
            path.touch()
        make(path)
        ended = paredown("report", path)
        assert ended.code == code, ended.err
        assert says in ended.err
        assert f"where: {path}" in ended.err
        assert "to do: " in ended.err or says == "this is no file" or "more than" in says
        assert "Traceback" not in ended.err
        assert names(tmp_path) <= {"x.json"}

    def test_a_result_on_a_web_server_needs_an_output(self, done: Path) -> None:
        """And pages can't be written to one."""
        there = ["https://x.invalid/result.json"]
        for arguments in (there, [str(done), "--output", "https://x.y/z"]):
            ended = paredown("report", *arguments)
            assert ended.code == 2
            assert "web server" in ended.err

    def test_nothing_heavy_is_imported(self, done: Path, tmp_path: Path) -> None:
        """TensorFlow is not needed for a page."""
        from tests.test_imports import COMMAND, modules_after

        argv = ["paredown", "report", str(done), "--output", str(tmp_path / "pages")]
        code, modules = modules_after(COMMAND.format(argv=argv))
        assert code == 0
        assert modules.isdisjoint({"tensorflow", "tf_keras", "keras", "ai_edge_litert"})
        assert names(tmp_path / "pages") == PAGES
