"""What a run that fails leaves at its destination: ``failure.json``, and its pages.

Only where no result is there, and only for errors that the same run would meet again: not for a
wrong manifest, storage that is away, or an interruption. The next run that succeeds removes them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from job import machine
from job.errors import (
    BugError,
    InputError,
    InterruptedRunError,
    ParedownError,
    StageError,
    StorageError,
    reported,
)
from job.manifest.job import JobConfig
from job.result.artifact import media_type
from job.result.failure import Failure, failure_of
from job.result.result import FAILURE_FILE, RESULT_FILE, StageResult
from job.run import earlier, page_files
from job.run.job_run import Progress
from job.run.supervisor import Children
from job.storage.backend import Stores
from job.storage.destination import Destination
from job.storage.place import Place, find_place
from job.text import printable

RECORDED = (BugError, InputError, StageError)


@contextlib.contextmanager
def recorded(job: JobConfig, base: Place, progress: Progress, children: Children) -> Iterator[None]:
    """Where a run fails, record why at its destination; the error is raised on.

    Args:
        job: The manifest.
        base: The folder that its relative URIs are relative to.
        progress: What has happened so far. A record that can't be written is a warning.
        children: Where the run's children came from.
    """
    started = time.time()
    try:
        yield
    except (InterruptedRunError, BrokenPipeError):
        raise
    except Exception as error:
        shown = reported(error)
        if isinstance(shown, RECORDED):
            waited_s = progress.waited_s + children.waited_s
            seconds = max(0.0, time.time() - started - waited_s)
            _record(job, base, progress, _failure(job, progress, shown, (seconds, waited_s)))
        raise


def _failure(
    job: JobConfig, progress: Progress, error: ParedownError, spent: tuple[float, float]
) -> Failure:
    """What is recorded of an error, after so many seconds of work and of waiting."""
    return failure_of(job.name, error, *spent).model_copy(
        update={
            "manifest": job.model_dump(mode="json"),
            "versions": machine.versions(job.libraries),
            "environment": machine.environment(),
            "stages": [_printable(stage) for stage in progress.stages],
            "stage": progress.stage,
            "warnings": [printable(text) for text in progress.warnings],
        }
    )


def _printable(stage: StageResult) -> StageResult:
    return stage.model_copy(update={"decisions": [printable(text) for text in stage.decisions]})


def _record(job: JobConfig, base: Place, progress: Progress, failure: Failure) -> None:
    """Write it; the run ends with the error that it was, whatever becomes of that."""

    def refuse() -> None:
        raise StorageError("another run is writing there")

    try:
        place = find_place(job.destination.uri, base)
        backend = Stores(progress.warn).backend(place, job.destination.storage or job.storage)
        destination = Destination(place, backend, progress.warn)
        with destination.claimed(refuse):
            _write(destination, job, progress, failure)
    except InterruptedRunError:
        raise
    except Exception as error:  # noqa: BLE001 - it must not hide why the run failed
        what = reported(error).what
        if what != failure.what:  # that says it already
            progress.warn(f"Why the run failed is not recorded at {job.destination.uri}: {what}")


def _write(destination: Destination, job: JobConfig, progress: Progress, failure: Failure) -> None:
    if destination.read(RESULT_FILE) is not None:
        return  # it stands, and so do its pages
    pages = page_files.Pages() if job.report is None else page_files.of_failure(failure)
    if pages.problem:
        progress.warn(pages.problem)
        failure = failure.model_copy(update={"warnings": [*failure.warnings, pages.problem]})
    record = failure.model_dump_json(indent=2) + "\n"
    files = {FAILURE_FILE: record.encode(), **pages.files}
    before = earlier.of_failure(destination)
    place, backend = destination.place, destination.backend
    # Beside failure.json all three count as paredown's, so none may be somebody else's.
    names = [name for name in (FAILURE_FILE, *earlier.PAGES) if name not in before]
    foreign = backend.foreign(place, names)
    if foreign:
        progress.warn(
            "Why the run failed is not recorded at its destination: that holds files which "
            f"paredown did not create ({', '.join(foreign)})."
        )
        return
    for name in before:
        if name not in files:
            backend.delete(place.child(name))
    for name, content in files.items():  # the record first: it says whose the pages are
        backend.write(place.child(name), content, {}, media_type(name))
