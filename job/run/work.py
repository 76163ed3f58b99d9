"""The work of a run, done in a child process, and the result that it leads to.

Meanwhile the child's checkpoints are uploaded to the destination, in the background: the training's
state at once, since it is saved at an interval already; other checkpoints when that interval is
over. A short run that is not disturbed uploads nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from job import machine
from job.errors import InputError, InterruptedRunError, ParedownError
from job.events import Event
from job.manifest.storage import ResumeConfig
from job.metrics import gates
from job.pages.preload import preload
from job.result.result import ArtifactResult, ChosenResult, Result, WorkResult
from job.resume.index import INDEX_FILE, snapshot
from job.run import supervisor
from job.run.inputs import in_users_words
from job.run.job_run import JobRun
from job.run.publish import Prepared
from job.storage.backend import Fetched
from job.worker.protocol import Task

# Checkpoints whose names begin so are uploaded at once: each holds minutes of work, and there are
# few of them.
AT_ONCE = ("training", "trained teacher", "trial")


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
        datasets=fetched["dataset"].local_files if run.job.dataset else {},
        checkpoints=str(scratch / "checkpoints"),
        save_every_s=resume.save_every_s,
    )
    # While the child imports TensorFlow, on one core.
    importing = None if run.job.report is None else preload(scratch)
    try:
        # The other half of the grace is for uploading the last checkpoint.
        raw = supervisor.run(task, emit, run.children, resume.grace_s / 2)
    except ParedownError as error:
        raise in_users_words(error, run.inputs, fetched) from None
    finally:
        if importing is not None:  # it may write into the scratch folder, which is removed now
            importing.join()
    return _result(run, prepared, WorkResult.model_validate(raw))


@contextlib.contextmanager
def checkpointed(run: JobRun, run_id: str, folder: Path) -> Iterator[CheckpointUploader | None]:
    """Restore an earlier run's checkpoints to a folder, and upload those that are saved there.

    Where the run ends in an error, its last checkpoints are uploaded before.
    """
    folder.mkdir()
    if run.job.resume is None:
        yield None
        return
    for reason in run.destination.restore(run_id, folder):
        run.journal.warn(f"What an earlier run has kept can't be used, {reason}")
    run.progress.has_checkpoint = (folder / INDEX_FILE).exists()
    uploader = CheckpointUploader(run, run_id, folder, run.job.resume)
    try:
        yield uploader
    except InterruptedRunError:
        # The other half of the grace is the child's. What is not uploaded by then is lost.
        uploader.finish(is_urgent=True, most_s=run.job.resume.grace_s / 2)
        raise
    except BaseException:
        uploader.finish(is_urgent=True)
        raise
    uploader.finish(is_urgent=False)


class CheckpointUploader:
    """A thread that uploads a folder of checkpoints when it has changed."""

    def __init__(self, run: JobRun, run_id: str, folder: Path, config: ResumeConfig) -> None:
        self._run = run
        self._run_id = run_id
        self._folder = folder
        self._every_s = config.save_every_s
        self._has_failed = False
        self._is_new = False
        self._is_urgent = False
        self._is_over = False
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def notice(self, event: Event) -> None:
        """Take note of the child's event that a checkpoint was saved."""
        if event["event"] == "kept" and (self._folder / INDEX_FILE).exists():
            with self._changed:
                self._is_new = True
                self._is_urgent |= str(event["piece"]).startswith(AT_ONCE)
                self._changed.notify()

    def finish(self, *, is_urgent: bool, most_s: float | None = None) -> None:
        """End the thread, after a last upload where it is urgent and something is new."""
        with self._changed:
            self._is_over = True
            self._is_urgent = self._is_new and is_urgent
            self._changed.notify()
        self._thread.join(most_s)

    def _work(self) -> None:
        while self._wait():
            try:
                with tempfile.TemporaryDirectory(dir=self._folder.parent) as now:
                    if snapshot(self._folder, Path(now)):
                        self._run.destination.keep(self._run_id, Path(now))
                        self._run.progress.has_checkpoint = True
            except (ParedownError, OSError) as error:
                if not self._has_failed:
                    warning = f"What is done can't be kept for another run: {error}"
                    self._run.progress.warn(warning)
                self._has_failed = True
            self._last = time.monotonic()

    def _wait(self) -> bool:
        """Wait until there is something to upload, and it is time; False at the end."""
        with self._changed:
            while not self._is_urgent:
                if self._is_over:
                    return False
                left = self._last + self._every_s - time.monotonic()
                if self._is_new and left <= 0:
                    break
                self._changed.wait(left if self._is_new else None)
            self._is_new = self._is_urgent = False
            return True


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
