"""The story of a job: fetch, done already?, transform, report, publish.

This is the parent process. It does all input and output and never imports TensorFlow; the work is
done in a child process (``worker.py`` starts ``child.py``, which runs ``transform.py``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from job import machine, worker
from job.child import Task
from job.errors import InputError, InterruptedRunError, ManifestError, from_os_error
from job.manifest.inputs import ModelConfig, NpzConfig
from job.manifest.job import JobConfig
from job.manifest.outputs import SUFFIXES
from job.progress import Event, Screen
from job.report.table import finished_event
from job.result import MANIFEST_FILE, RESULT_FILE, InputResult, Result, WorkResult
from job.safety import folder
from job.store import local
from job.store.uri import local_path


def run_job(job: JobConfig, base: Path, screen: Screen, *, verbose: bool) -> Result:
    """Run a job, or find that it is done.

    Args:
        job: The manifest.
        base: The folder that its relative URIs are relative to.
        screen: Where progress is shown.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        The result; it is published at the destination.

    Raises:
        ParedownError: Nothing is published then.
    """
    watched = _Watched(screen)
    watched.show({"event": "run_started", "name": job.name})
    try:
        return _run(job, base, watched, verbose=verbose)
    except InterruptedRunError as error:
        raise InterruptedRunError(error.number, watched.stage) from None


def _run(job: JobConfig, base: Path, watched: _Watched, *, verbose: bool) -> Result:
    started = time.time()
    destination = local_path(job.destination.uri, base)
    inputs = {
        "model": find_model(job.model, base),
        "dataset": _find_dataset(job.dataset, base),
    }
    run_id = _run_id(job, inputs)
    with local.claimed(destination, watched.wait):
        earlier = _earlier_result(destination, job, run_id)
        if earlier is not None and earlier.run_id == run_id:
            if _is_whole(earlier, destination):
                watched.show(finished_event(earlier, str(destination), already_done=True))
                return earlier
            watched.warn("A file of the earlier result is missing or damaged: it is done again.")
        holds_run = (destination / RESULT_FILE).exists()
        local.prepare(destination, [] if holds_run else _planned(job))
        with local.scratch() as scratch:
            output, kept = scratch / "output", scratch / "kept"
            kept.mkdir()
            task = Task(
                kind="transform",
                model=str(local_path(job.model.uri, base)),
                model_name=str(local_path(job.model.uri, base)),
                model_bytes=inputs["model"].bytes,
                output=str(output),
                scratch=str(scratch),
                kept=str(kept),
                trust=job.model.trust,
                manifest=job.model_dump(mode="json"),
                dataset=str(local_path(job.dataset.uri, base)),
            )
            work = WorkResult.model_validate(worker.run(task, watched.show, verbose=verbose))
            result = _assemble(job, inputs, run_id, work, started)
            local.write_json(output / MANIFEST_FILE, result.manifest)
            local.write_json(output / RESULT_FILE, result.model_dump(mode="json"))
            replaced = _files(earlier) if earlier else []
            local.publish(output, destination, last=RESULT_FILE, replaced=replaced)
    watched.show(finished_event(result, str(destination), already_done=False))
    return result


@dataclass
class _Watched:
    """A screen that remembers which stage is running."""

    screen: Screen
    stage: str = "fetch"

    def show(self, event: Event) -> None:
        if event["event"] == "stage_started":
            self.stage = event["stage"]
        self.screen.show(event)

    def warn(self, message: str) -> None:
        self.show({"event": "warning", "message": message})

    def wait(self) -> None:
        self.warn("Another run is writing to this destination; this one waits for its end.")


def find_model(model: ModelConfig, base: Path) -> InputResult:
    """Find a model and take its digest: of a file, or of a folder's files in a tar.

    Raises:
        InputError: Where it is missing, can't be read, or has another digest than the pinned one.
    """
    path = local_path(model.uri, base)
    doing = "Reading the model"
    if not path.is_dir():
        return _pinned(model, path, local.measure(path, doing))
    try:
        return _pinned(model, path, folder.measure(path, str(path)))
    except OSError as error:
        raise from_os_error(error, doing, writing=False) from None


def _find_dataset(dataset: NpzConfig, base: Path) -> InputResult:
    path = local_path(dataset.uri, base)
    return _pinned(dataset, path, local.measure(path, "Reading the data set"))


def _pinned(asked: ModelConfig | NpzConfig, path: Path, found: tuple[int, str]) -> InputResult:
    size, digest = found
    if asked.sha256 is not None and digest != asked.sha256.lower():
        raise InputError(
            f"The file's SHA-256 is {digest}, the manifest pins {asked.sha256}.",
            where=str(path),
            hint="It is another file than the one that was meant, or it is damaged.",
        )
    return InputResult(uri=asked.uri, bytes=size, sha256=digest)


def _run_id(job: JobConfig, inputs: dict[str, InputResult]) -> str:
    """A digest of what determines the outcome: what is asked, of which inputs, with which
    versions; not the job's name, nor where inputs and outputs lie.
    """
    asked = job.model_dump(mode="json", exclude={"name", "destination"})
    for section in ("model", "dataset"):
        for name in ("uri", "sha256"):
            asked[section].pop(name)
    digests = {name: it.sha256 for name, it in inputs.items()}
    text = json.dumps([asked, digests, machine.versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _earlier_result(destination: Path, job: JobConfig, run_id: str) -> Result | None:
    """The result that the destination holds; None where it holds none that is of use.

    Raises:
        ManifestError: Where it holds one of another run, which may not be overwritten.
    """
    path = destination / RESULT_FILE
    if not path.exists():
        return None
    earlier = None
    with contextlib.suppress(ValidationError, OSError):
        earlier = Result.model_validate_json(path.read_bytes())
    if (earlier is not None and earlier.run_id == run_id) or job.destination.overwrite:
        return earlier
    found = f"{earlier.name}, run_id {earlier.run_id[:12]}" if earlier else "of another version"
    raise ManifestError(
        f"The destination holds the results of another run ({found}).",
        where=str(destination),
        hint='Choose another destination, or set "overwrite": true under destination.',
    )


def _planned(job: JobConfig) -> list[str]:
    """The files that the job is going to write, but for ``result.json``."""
    stages = ["baseline", *(["prune"] if job.prune else [])]
    packed = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")
    formats = ("h5", "keras", *(f"savedmodel.{suffix}" for suffix in packed))
    models = [f"{stage}.{suffix}" for stage in stages for suffix in formats]
    models += [f"{name}.tflite" for name in job.variants]
    suffixes = ["", *(SUFFIXES[codec.type] for codec in job.codecs)]
    return [f"{model}{suffix}" for model in models for suffix in suffixes] + [MANIFEST_FILE]


def _files(result: Result) -> list[str]:
    """The files that a result names."""
    encodings = [it.path for artifact in result.artifacts for it in artifact.encoded.values()]
    return [*(artifact.path for artifact in result.artifacts), *encodings]


def _is_whole(result: Result, destination: Path) -> bool:
    """Whether every file that the result names is there, with its digest."""
    named = {artifact.path: artifact.sha256 for artifact in result.artifacts}
    for artifact in result.artifacts:
        named |= {it.path: it.sha256 for it in artifact.encoded.values()}
    return all(
        (destination / path).is_file()
        and local.measure(destination / path, "Checking the results")[1] == digest
        for path, digest in named.items()
    )


def _assemble(
    job: JobConfig,
    inputs: dict[str, InputResult],
    run_id: str,
    work: WorkResult,
    started: float,
) -> Result:
    if work.artifacts[0].sha256 != inputs["model"].sha256:
        raise InputError("The model file changed while the job ran.", where=job.model.uri)
    passed = all(gate.passed for gate in work.gates)
    return Result(
        name=job.name,
        status="succeeded" if passed else "gate_missed",
        run_id=run_id,
        started_at=dt.datetime.fromtimestamp(started, dt.UTC).isoformat(),
        seconds=round(time.time() - started, 3),
        manifest=job.model_dump(mode="json"),
        inputs=inputs,
        versions=machine.versions(),
        environment=machine.environment(),
        **_fields(work),
    )


def _fields(work: WorkResult) -> dict[str, Any]:
    return {name: getattr(work, name) for name in WorkResult.model_fields}
