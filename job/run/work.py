"""The work of a run, done in a child process, and the result that it leads to."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from pathlib import Path

from job import machine
from job.errors import InputError, ParedownError
from job.events import Event
from job.manifest.storage import ResumeConfig
from job.metrics import gates
from job.result import ArtifactResult, ChosenResult, Result, WorkResult
from job.run import supervisor
from job.run.checkpoint_uploader import CheckpointUploader
from job.run.inputs import in_users_words
from job.run.job_run import JobRun
from job.run.publish import Prepared
from job.storage.backend import Fetched
from job.worker.protocol import Task


def work(
    run: JobRun,
    prepared: Prepared,
    fetched: Mapping[str, Fetched],
    scratch: Path,
    uploader: CheckpointUploader | None,
) -> Result:
    """Do the work in a child process, with ``output`` and ``checkpoints`` of a scratch folder.

    Raises:
        ParedownError: Where an input is refused, a stage fails, or the child is lost.
    """

    def emit(event: Event) -> None:
        if uploader is not None:
            uploader.notice(event)
        run.progress.show(event)

    (model,) = fetched["model"].paths.values()
    resume = run.job.resume or ResumeConfig()
    task = Task(
        kind="transform",
        model=str(model),
        model_name=str(run.inputs["model"].found.place),
        model_bytes=prepared.inputs["model"].bytes,
        output=str(scratch / "output"),
        scratch=str(scratch),
        trust=run.job.model.trust,
        manifest=run.job.model_dump(mode="json"),
        datasets=[str(it) for it in fetched["dataset"].paths.values()] if run.job.dataset else [],
        checkpoints=str(scratch / "checkpoints"),
        save_every_s=resume.save_every_s,
    )
    try:
        # The other half of the grace is for uploading the last checkpoint.
        raw = supervisor.run(task, emit, run.children, resume.grace_s / 2)
    except ParedownError as error:
        raise in_users_words(error, run.inputs, fetched) from None
    return _result(run, prepared, WorkResult.model_validate(raw))


def _result(run: JobRun, prepared: Prepared, done: WorkResult) -> Result:
    if done.artifacts[0].sha256 != prepared.inputs["model"].sha256:
        raise InputError("The model file changed while the job ran.", where=run.job.model.uri)
    fields = {name: getattr(done, name) for name in WorkResult.model_fields}
    chosen = gates.choose(done.artifacts, done.gates)
    waited_s = run.progress.waited_s + run.children.waited_s
    earlier_s = run.progress.earlier_s
    return Result(
        name=run.job.name,
        status="gate_missed" if gates.is_missed(chosen, done.gates) else "succeeded",
        run_id=prepared.run_id,
        started_at=dt.datetime.fromtimestamp(run.started, dt.UTC).isoformat(),
        seconds=round(max(0.0, time.time() - run.started - waited_s) + earlier_s, 3),
        waited_s=round(waited_s, 3),
        earlier_s=round(earlier_s, 3),
        chosen=None if chosen is None else _chosen(chosen),
        manifest=run.job.model_dump(mode="json"),
        inputs=dict(prepared.inputs),
        versions=machine.versions(run.job.libraries),
        environment=machine.environment(),
        retries=run.stores.retries,
        **fields
        | {
            "stages": [*run.journal.results(), *done.stages],
            "warnings": [*run.journal.warnings, *done.warnings],
        },
    )


def _chosen(artifact: ArtifactResult) -> ChosenResult:
    encoding, size = artifact.smallest
    return ChosenResult(
        artifact=artifact.name, path=artifact.smallest_path, encoding=encoding, bytes=size
    )
