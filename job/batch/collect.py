"""The summary of a batch from what is at its destination: also while it runs, from any machine."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from job.batch import records
from job.batch.records import JobFolder
from job.batch.summary import (
    Row,
    Summary,
    as_csv,
    failure_of,
    parse_failure,
    pending,
    row_of,
    row_of_failure,
    summarize,
)
from job.errors import InputError, ManifestError, ParedownError
from job.result import RESULT_FILE, Result
from job.storage.markers import Notes

# Results that are read at a time.
READERS = 8
SUMMARY, TABLE = "summary.json", "summary.csv"


def collect(notes: Notes, known: Iterable[Row] = ()) -> Summary:
    """Read what is there, once: a listing, and the result or the failure of each job.

    Args:
        notes: The batch's destination.
        known: Rows of jobs that need not be read.

    Raises:
        InputError: Where there is no batch, or access is denied.
        StorageError: Where the storage fails.
    """
    expansion = records.read_expansion(notes)
    folders = records.look(notes)
    if expansion is None and not any(it.has_result or it.has_failed for it in folders.values()):
        raise InputError(
            "There are no results of a batch.",
            where=str(notes.place),
            hint="Name the batch's destination: a folder, or s3://bucket/prefix.",
        )
    name, models = expansion or (notes.place.name, {})
    seen = {key for key, it in folders.items() if it.has_result or it.has_failed}
    names = sorted(models if expansion else seen)

    rows_by_name = {it.name: it for it in known}

    def read(name: str) -> Row:
        return rows_by_name.get(name) or _row(
            notes, name, models.get(name, ""), folders.get(name, JobFolder())
        )

    with ThreadPoolExecutor(READERS) as pool:
        rows = list(pool.map(read, names))
    return summarize(name, rows, others=len(seen - set(names)))


def refuse_foreign(notes: Notes) -> None:
    """Keep a file of somebody's own that has the name of a summary.

    Raises:
        ManifestError: Where one is there.
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    content = notes.read(SUMMARY)
    try:
        if content is not None:
            Summary.model_validate_json(content)
            return
    except ValidationError:
        pass
    if content is not None or notes.read(TABLE) is not None:
        name = TABLE if content is None else SUMMARY
        raise ManifestError(
            f"There is a {name} that this version of paredown has not written.",
            where=str(notes.place),
            hint="Choose another place for the results, or move that file away.",
        )


def write_summary(notes: Notes, summary: Summary) -> None:
    """Write ``summary.json`` and ``summary.csv``; see ``refuse_foreign``.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    # A table without its summary would be taken for somebody else's.
    notes.write(SUMMARY, (summary.model_dump_json(indent=1) + "\n").encode())
    notes.write(TABLE, as_csv(summary).encode())


def _row(notes: Notes, name: str, model: str, there: JobFolder) -> Row:
    """A failure is younger than a result that is beside it: where a job is done, none is left."""
    if there.has_failed:
        failure = parse_failure(notes.read(f"{name}/{records.FAILURE}"))
        if failure is not None:
            return row_of_failure(failure, model).model_copy(update={"name": name})
    if not there.has_result:
        return pending(name, model)
    content = notes.read(f"{name}/{RESULT_FILE}")
    if content is None:  # it was there a moment ago
        return pending(name, model)
    try:
        return row_of(Result.model_validate_json(content), name)
    except (ValueError, LookupError, ArithmeticError):  # it may be of anybody's making
        error: ParedownError = InputError(
            "result.json can't be read: it is damaged, or of another version.",
            where=f"{notes.place}/{name}/{RESULT_FILE}",
            hint="Run the batch again.",
        )
        return row_of_failure(failure_of(name, error, 0), model)
