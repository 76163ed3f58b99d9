"""The termination message: short, complete JSON, and only where there is a file for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from job.errors import ManifestError, StageError
from job.result.result import ChosenResult
from job.run import termination
from tests.support.published import make_result


def never(message: str) -> None:
    """What is called where the file can't be written."""
    raise AssertionError(message)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kubernetes makes the file; a container writes it."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(termination, "FILE", path)
    return path


def test_a_result_is_summarized(log: Path, tmp_path: Path) -> None:
    """Status, the smallest artifact and its ratio, the gates."""
    result = make_result(tmp_path / "out")
    termination.finished(result, never)
    message = json.loads(log.read_bytes())
    smallest = min(result.artifacts, key=lambda it: it.smallest[1])
    assert message["status"] == result.status
    assert message["run_id"] == result.run_id
    assert message["smallest"]["artifact"] == smallest.name
    assert message["smallest"]["bytes"] == smallest.smallest[1]
    assert len(message["gates"]) == len(result.gates)
    assert message["chosen"] is None
    chosen = ChosenResult(artifact="int8", path="int8.tflite.zip", encoding="zip", bytes=750)
    termination.finished(result.model_copy(update={"chosen": chosen, "gates": []}), never)
    message = json.loads(log.read_bytes())["chosen"]
    assert message == chosen.model_dump() | {"times_smaller": 14.67}


def test_an_error_is_reported(log: Path) -> None:
    """With its exit code, and what to do."""
    termination.failed(StageError("It broke.", where="stage prune", hint="Mend it."), never)
    message = json.loads(log.read_bytes())
    assert (message["status"], message["exit_code"], message["error"]) == (
        "failed",
        4,
        "StageError",
    )
    assert (message["what"], message["where"], message["to_do"]) == (
        "It broke.",
        "stage prune",
        "Mend it.",
    )


@pytest.mark.parametrize("what", ["x" * 100_000, "ü√" * 30_000, '"' * 9_000])
def test_it_is_never_longer_than_kubernetes_keeps(log: Path, what: str) -> None:
    """A manifest with hundreds of problems has a long error; what is left is JSON."""
    termination.failed(ManifestError(what, where=what, hint=what), never)
    assert 0 < len(log.read_bytes()) <= termination.MOST_BYTES
    assert json.loads(log.read_bytes())["exit_code"] == 2


def test_nothing_is_written_without_a_file_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is created on a laptop."""
    monkeypatch.setattr(termination, "FILE", tmp_path / "none")
    termination.failed(StageError("It broke."), never)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own outcome counts."""
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(termination, "FILE", tmp_path / "folder")
    warnings: list[str] = []
    termination.failed(StageError("It broke."), warnings.append)
    termination.finished(make_result(), warnings.append)
    assert len(warnings) == 2
    assert all(f"could not be written to {tmp_path / 'folder'}" in it for it in warnings)
