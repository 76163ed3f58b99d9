"""The same manifest, inputs and versions give the same bytes; what is done is not done again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, paredown
from tests.support.published import digestible, read_result, run_all, write_manifest
from tests.support.rare import rare

QUANTIZE = [{"type": "dynamic_range"}, {"type": "int8"}]
CODECS = {"codecs": ["zip", "gzip", "zopfli", "zstd", "brotli", "xz", "lzma", "lz4"]}
# What may differ from run to run.
VARYING = {"started_at", "seconds", "latency_ms"}


@dataclass(frozen=True)
class Twice:
    """The same manifest, run into two destinations."""

    manifest: Path
    first: Path
    second: Path
    runs: dict[str, Run]


@pytest.fixture(scope="module")
def twice(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    """Both runs; the second one in a folder, with a time zone and a hash seed of its own."""
    folder = tmp_path_factory.mktemp("repeatable")
    manifest = write_manifest(folder, tiny, quantize=QUANTIZE, compress=CODECS)
    environment = os.environ | {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "42"}
    first = paredown("run", manifest)
    second = paredown("run", manifest, "--output", folder / "second", env=environment)
    runs = {"first": first, "second": second}
    assert [run.code for run in runs.values()] == [0, 0], runs
    return Twice(manifest, folder / "out", folder / "second", runs)


def constant(node: Any) -> Any:
    """A result without what may differ."""
    if isinstance(node, dict):
        return {key: constant(value) for key, value in node.items() if key not in VARYING}
    return [constant(value) for value in node] if isinstance(node, list) else node


def test_every_file_is_the_same_byte_for_byte(twice: Twice) -> None:
    """Models and encodings of all codecs; the manifest names another destination."""
    first, second = digestible(twice.first), digestible(twice.second)
    assert first.keys() == second.keys()
    different = {name for name in first if first[name] != second[name]}
    assert different == {"manifest.json"}
    assert len(first) == 1 + 4 * (1 + len(CODECS["codecs"]))


def test_the_results_differ_in_nothing_but_times(twice: Twice) -> None:
    """And the destination, which was asked to be another."""
    first, second = (constant(read_result(folder)) for folder in (twice.first, twice.second))
    assert first["manifest"].pop("destination") != second["manifest"].pop("destination")
    assert first == second


def test_the_result_holds_the_manifest_with_its_defaults_filled_in(twice: Twice) -> None:
    """And beside it lies the same as a file, which runs again."""
    result = read_result(twice.first)
    assert result["manifest"]["training"]["optimizer"]["learning_rate"] == 0.001
    valid = paredown("validate", twice.first / "manifest.json")
    assert valid.code == 0, valid.err


def test_what_is_done_is_not_done_again(twice: Twice) -> None:
    """The second time nothing is started, nothing written, and the result is told all the same."""
    before = {path: path.stat().st_mtime_ns for path in twice.first.iterdir()}
    again = paredown("run", twice.manifest)
    assert (again.code, again.err) == (0, "")
    assert [event["event"] for event in again.events] == ["run_started", "run_finished"]
    told, earlier = again.events[-1], twice.runs["first"].events[-1]
    assert (told["already_done"], earlier["already_done"]) == (True, False)
    same = ("status", "run_id", "result", "artifacts", "gates")
    assert {key: told[key] for key in same} == {key: earlier[key] for key in same}
    assert {path: path.stat().st_mtime_ns for path in twice.first.iterdir()} == before


@rare
def test_a_file_that_is_damaged_or_missing_is_made_again(twice: Twice) -> None:
    """As it was; a warning says why the job is done again."""
    before = {folder: digestible(folder) for folder in (twice.first, twice.second)}
    damaged = twice.first / "int8.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0\0")
    (twice.second / "prune.h5.zip").unlink()
    (twice.second / "notes.txt").write_text("mine")
    runs = run_all(
        {
            "damaged": ["run", twice.manifest],
            "missing": ["run", twice.manifest, "--output", twice.second],
        }
    )
    for run in runs.values():
        assert run.code == 0, run.err
        assert run.events[-1]["already_done"] is False
        warnings = [event["message"] for event in run.events if event["event"] == "warning"]
        assert any("missing or damaged" in warning for warning in warnings)
    before[twice.second]["notes.txt"] = b"mine"
    for folder, files in before.items():
        assert digestible(folder) == files


def test_two_runs_at_once_into_one_destination_do_the_work_once(twice: Twice) -> None:
    """The second one waits for the first, and finds that it is done."""
    shared_folder = twice.manifest.parent / "shared"
    command: list[str | Path] = ["run", twice.manifest, "--output", shared_folder]
    runs = run_all({"one": command, "other": command})
    assert [run.code for run in runs.values()] == [0, 0]
    done = {run.events[-1]["already_done"]: run for run in runs.values()}
    assert set(done) == {False, True}
    told = [event["message"] for event in done[True].events if event["event"] == "warning"]
    assert any("waits for its end" in message for message in told)
    shared, first = digestible(shared_folder), digestible(twice.first)
    assert {name for name in first if shared[name] != first[name]} == {"manifest.json"}
