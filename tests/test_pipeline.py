"""The parent's part of a job: what is asked of which inputs, and whether it is done already."""

from __future__ import annotations

import io
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job import pipeline
from job.errors import InputError, ManifestError
from job.events import Event
from job.report.screen import JsonLines
from job.result.fetched import InputResult
from job.result.result import Result
from job.run import earlier
from job.run.inputs import find_inputs
from job.run.job_run import Progress
from job.run.supervisor import OnlyChild
from job.storage.backend import Stores
from job.storage.destination import Destination
from job.storage.local import Local
from job.storage.place import Place
from tests.support.manifests import read_job
from tests.support.published import FAILED, make_result


def _archive() -> bytes:
    """An archive without the arrays that a job needs."""
    content = io.BytesIO()
    np.savez(content, none=np.zeros(1))
    return content.getvalue()


ARCHIVE = _archive()
FILES = ["baseline.h5", "baseline.h5.zip", "int8.tflite", "int8.tflite.zip"]
MINIMAL: dict[str, Any] = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


class Recorder(JsonLines):
    """A screen that records the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def show(self, event: Event) -> None:
        """Record the event."""
        self.events.append(event)


def run_id(digest: str = "1", **sections: Any) -> str:
    """The run id of a minimal manifest with other sections, for inputs of some digest."""
    job = read_job(json.dumps(MINIMAL | sections), "here.json")
    inputs = {
        "model": InputResult(uri="m", bytes=1, sha256=digest),
        "dataset": InputResult(uri="d", bytes=1, sha256="2"),
    }
    return earlier.run_id(job, inputs)


def is_whole(result: Result, folder: Path) -> bool:
    """Whether a folder holds all that a result names."""
    return earlier.is_whole(result, Destination(Place("file", str(folder)), Local(), pytest.fail))


def run(folder: Path, **sections: Any) -> list[Event]:
    """Run a job whose inputs are two small files that no worker would take."""
    for name in ("m.h5", "d.npz"):
        (folder / name).write_bytes(ARCHIVE)
    screen = Recorder()
    job = read_job(json.dumps(MINIMAL | sections), "here.json")
    pipeline.run_job(job, Place("file", str(folder)), screen.show, OnlyChild(verbose=False))
    return screen.events


def test_names_and_places_do_not_make_another_run() -> None:
    """The same bytes from elsewhere, to elsewhere, pinned or not, under another name."""
    same = {
        run_id(),
        run_id(name="b"),
        run_id(model={"uri": "elsewhere.h5"}),
        run_id(model={"uri": "m.h5", "sha256": "a" * 64}),
        run_id(dataset={"uri": "elsewhere.npz", "sha256": "b" * 64}),
        run_id(destination={"uri": "elsewhere", "overwrite": True}),
        run_id(storage={"endpoint_url": "https://elsewhere"}),
        run_id(model={"uri": "s3://elsewhere/m.h5", "storage": {"profile": "reader"}}),
        run_id(resume=None),
        run_id(training={"batch_size": 128}),
    }
    assert len(same) == 1


def test_another_patch_of_python_makes_no_other_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new base image has; another minor version does make one."""
    ids = []
    for python in ("3.11.2", "3.11.14", "3.12.0"):
        monkeypatch.setattr(platform, "python_version", lambda version=python: version)
        ids.append(run_id())
    assert ids[0] == ids[1] != ids[2]


def test_what_determines_the_outcome_makes_another_run() -> None:
    """Other inputs, or anything else that is asked."""
    ids = [
        run_id(),
        run_id(digest="3"),
        run_id(training={"epochs": 3}),
        run_id(training={"seed": 8}),
        run_id(dataset={"uri": "d.npz", "scale": 2}),
        run_id(prune=None),
        run_id(compress=None),
        run_id(quantize=[{"type": "int8"}]),
        run_id(gates=[{"type": "min_ratio", "value": 2}]),
    ]
    assert len(set(ids)) == len(ids)


def test_a_result_is_whole_when_its_files_are_there(tmp_path: Path) -> None:
    """What else lies there does not matter."""
    result = make_result(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert is_whole(result, tmp_path)
    assert sorted(earlier.digests(result)) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_result_is_not_whole_when_a_file_is_missing_or_damaged(name: str, tmp_path: Path) -> None:
    """One byte is enough, of an encoding too; a folder of that name is no file."""
    result = make_result(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    assert not is_whole(result, tmp_path)
    path.unlink()
    assert not is_whole(result, tmp_path)
    path.mkdir()
    assert not is_whole(result, tmp_path)


def naming(path: str) -> bytes:
    """A result that names some file as an artifact of its own."""
    document = make_result().model_dump(mode="json")
    document["artifacts"][0]["path"] = path
    return json.dumps(document).encode()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[1]", b"\xff", b'{"schema_version": 2}'),
        *(naming(it) for it in ("../m.h5", "/etc/passwd", "notes.txt", ".ssh", "a.h5\n")),
    ],
)
def test_a_result_that_paredown_did_not_create_is_left_alone(
    content: bytes, tmp_path: Path, overwrite: bool
) -> None:
    """Nor is anything beside it replaced, whatever may be overwritten."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_bytes(content)
    (out / "prune.h5").write_bytes(b"mine")
    with pytest.raises(ManifestError, match="another version") as caught:
        run(tmp_path, destination={"uri": "out", "overwrite": overwrite})
    assert caught.value.where == str(out)
    assert (out / "result.json").read_bytes() == content
    assert (out / "prune.h5").read_bytes() == b"mine"
    assert len(list(out.iterdir())) == 2


def test_what_the_earlier_result_does_not_name_is_left_alone(tmp_path: Path) -> None:
    """Its own files may be replaced; one beside them that the new run would write may not."""
    out = tmp_path / "out"
    result = make_result(out)
    (out / "result.json").write_text(result.model_dump_json())
    (out / "manifest.json").write_text("{}")
    (out / "prune.h5").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ManifestError, match=r"would be overwritten: prune\.h5\."):
        run(tmp_path, destination={"uri": "out", "overwrite": True})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_files_that_paredown_did_not_create_are_left_alone(tmp_path: Path) -> None:
    """The folder holds no run, and a file of a name that the job would write."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "dynamic_range.tflite.zopfli.gz").write_bytes(b"mine")
    with pytest.raises(ManifestError, match=r"overwritten: dynamic_range\.tflite\.zopfli\.gz"):
        run(tmp_path)
    assert [path.name for path in out.iterdir()] == ["dynamic_range.tflite.zopfli.gz"]


def test_the_result_of_another_run_is_left_alone(tmp_path: Path) -> None:
    """Its name and run id are reported, and how to replace it."""
    out = tmp_path / "out"
    result = make_result(out)
    (out / "result.json").write_text(result.model_dump_json())
    with pytest.raises(ManifestError, match=r"another run \(tiny, run_id ffffffffffff\)") as caught:
        run(tmp_path)
    assert caught.value.where == str(out)
    assert '"overwrite": true' in caught.value.hint
    assert {path.name for path in out.iterdir()} == {*FILES, "result.json"}


def test_a_result_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    """The inputs would make a worker fail: it is never started."""
    for name in ("m.h5", "d.npz"):
        (tmp_path / name).write_bytes(ARCHIVE)
    job = read_job(json.dumps(MINIMAL), "here.json")
    found = find_inputs(job, Place("file", str(tmp_path)), Stores(print))
    inputs = {name: it.known(None) for name, it in found.items()}
    known = {name: it for name, it in inputs.items() if it is not None}
    update = {"run_id": earlier.run_id(job, known)}
    result = make_result(tmp_path / "out").model_copy(update=update)
    (tmp_path / "out" / "result.json").write_text(result.model_dump_json())
    events = run(tmp_path)
    assert [event["event"] for event in events] == ["run_started", "run_finished"]
    assert events[1]["already_done"] is True


def test_another_file_than_the_pinned_one_is_refused_before_any_work(tmp_path: Path) -> None:
    """Both digests are reported, of the model and of the data; at the destination, why."""
    pinned = {"uri": "d.npz", "sha256": "0" * 64}
    with pytest.raises(
        InputError, match=f"SHA-256 is [0-9a-f]{{64}}, the manifest pins {'0' * 64}"
    ):
        run(tmp_path, dataset=pinned)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FAILED


def test_an_input_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    """With the path that the URI was taken for."""
    with pytest.raises(InputError, match="Reading the model failed: there is no such") as caught:
        run(tmp_path, model={"uri": "nowhere/m.h5"})
    assert caught.value.where == str(tmp_path / "nowhere" / "m.h5")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FAILED


def test_a_destination_whose_name_can_not_be_is_refused(tmp_path: Path) -> None:
    """Too long a name is not reported as a bug."""
    with pytest.raises((InputError, ManifestError), match="too long"):
        run(tmp_path, destination={"uri": "a" * 300})


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    """Not even where results may be replaced: the model is an earlier run's."""
    result = make_result(tmp_path)
    (tmp_path / "result.json").write_text(result.model_dump_json())
    (tmp_path / "d.npz").write_bytes(ARCHIVE)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    document = MINIMAL | {
        "model": {"uri": "baseline.h5"},
        "destination": {"uri": ".", "overwrite": True},
    }
    job = read_job(json.dumps(document))
    with pytest.raises(ManifestError, match="one of the files that the results would replace"):
        pipeline.run_job(
            job, Place("file", str(tmp_path)), Recorder().show, OnlyChild(verbose=False)
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_waiting_and_restored_work_are_counted_apart() -> None:
    """Of a child that died nothing is restored; a run that does not wait has waited for no time."""
    progress = Progress(lambda _: None)
    progress.go_on()
    assert progress.waited_s == 0
    progress.wait()
    time.sleep(0.02)
    progress.go_on()
    assert 0.02 <= progress.waited_s < 5
    finished = {"event": "stage_finished", "stage": "prune", "seconds": 3.0, "decisions": []}
    progress.show({**finished, "earlier_s": 9.0})
    progress.show({"event": "child_died", "stage": "prune", "message": "it died"})
    progress.show(finished)
    progress.show({**finished, "earlier_s": 2.0})
    progress.show({**finished, "earlier_s": 0.5})
    assert progress.earlier_s == 2.5


def test_a_result_of_an_earlier_version_is_still_read() -> None:
    """Without what was added later: the chosen artifact, waiting, what a reader needs to know."""
    document = make_result().model_dump(mode="json")
    for name in ("chosen", "waited_s", "earlier_s"):
        del document[name]
    for artifact in document["artifacts"]:
        del artifact["usage"]
        for form in artifact["encoded"].values():
            del form["decoder"]
    read = earlier.parse(json.dumps(document).encode(), "here")
    assert read is not None
    assert (read.chosen, read.chosen_artifact, read.waited_s) == (None, None, 0.0)
