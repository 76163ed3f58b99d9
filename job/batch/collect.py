"""The summary of a batch from what is at its destination: also while it runs, from any machine.

No shard knows when the others end, so each checks when it ends itself: for a result or a failure of
every job of every other shard. Whichever ends last finds them all and writes the summary. If two
end at once, both may write the same; if one of them wrote what has changed meanwhile, it writes
again.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from job.batch import records
from job.batch.records import JobFolder
from job.batch.rows import pending, row_of, row_of_failure
from job.batch.share import read_expansion
from job.batch.totals import summarize
from job.errors import InputError, ManifestError, ParedownError
from job.manifest.batch import RESERVED
from job.result.failure import failure_of
from job.result.result import PAGE_FILE, RESULT_FILE, Result
from job.result.summary import Row, Summary
from job.run import page_files
from job.run.earlier import parse_failure
from job.storage.destination import Notes
from job.text import legible_json, one_line

# Results that are read at a time.
READERS = 8
SUMMARY, TABLE, PAGE = RESERVED
# Each time another shard has changed what was summarized; that shard then writes it, too.
MOST_TIMES = 5
# How spreadsheets begin a formula; some accept the full-width characters.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_AFTER_SEMICOLON = re.compile(rf"(;[\s\"']*)(?=[{re.escape(''.join(FORMULA))}])")


def collect(notes: Notes, known: Iterable[Row] = ()) -> Summary:
    """Read what is there: a listing, and the result or the failure of each job.

    Args:
        notes: The batch's destination.
        known: Rows of jobs that need not be read.

    Raises:
        InputError: If there is no batch.
    """
    expansion = read_expansion(notes)
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
        there = folders.get(name, JobFolder())
        row = rows_by_name.get(name) or _row(notes, name, models.get(name, ""), there)
        return row.model_copy(update={"report": f"{name}/{PAGE_FILE}" if there.has_page else None})

    with ThreadPoolExecutor(READERS) as pool:
        rows = list(pool.map(read, names))
    return summarize(name, rows, others=len(seen - set(names)))


def refuse_foreign(notes: Notes) -> None:
    """Never overwrite a file that paredown did not create.

    Raises:
        ManifestError: If one has the name of a summary.
    """
    content = notes.read(SUMMARY)
    try:
        if content is not None:
            Summary.model_validate_json(content)
            return
    except ValidationError:
        pass
    others = (name for name in (TABLE, PAGE) if notes.read(name) is not None)
    name = next(others, None) if content is None else SUMMARY
    if name is not None:
        raise ManifestError(
            f"There is a {name} that this version of paredown has not written.",
            where=str(notes.place),
            hint="Choose another place for the results, or move that file away.",
        )


def write_summary(notes: Notes, summary: Summary, warn: Callable[[str], None]) -> None:
    """Write ``summary.json``, ``summary.csv`` and ``summary.html``; see ``refuse_foreign``.

    Args:
        notes: Where they go.
        summary: What they say.
        warn: Is called if the page can't be made.
    """
    # Without its summary, a table would count as a file that paredown did not create.
    notes.write(SUMMARY, (legible_json(summary.model_dump_json(indent=1)) + "\n").encode())
    notes.write(TABLE, as_csv(summary).encode())
    pages = page_files.of_summary(summary)
    for name, page in pages.files.items():
        notes.write(name, page)
    if pages.problem:
        warn(pages.problem)


def summarize_if_last(
    notes: Notes, others: Mapping[str, int], known: Iterable[Row], warn: Callable[[str], None]
) -> bool:
    """Write the summary if every job of the batch is finished, as those of this shard are. The
    check stops at the first job that is not.

    Args:
        notes: The batch's destination.
        others: The jobs of the other shards by their names, with the shard of each.
        known: Rows of the jobs that this shard has just done, which need not be read.
        warn: Is called if a file that paredown did not create is in the way, or the page can't be
            made.

    Returns:
        Whether they were written.
    """
    rows, written = list(known), False
    there = _all_finished(notes, others)
    for _ in range(MOST_TIMES):
        if there is None:
            break
        if not written:
            try:
                refuse_foreign(notes)
            except ManifestError as error:  # the jobs are done, and a retry would not help
                warn(f"No summary of the batch is written: {error.what} ({error.where})")
                return False
        write_summary(notes, collect(notes, known=rows), warn)
        written, before = True, there
        there = _all_finished(notes, others)
        if there == before:
            break
    return written


def _all_finished(notes: Notes, others: Mapping[str, int]) -> dict[str, JobFolder] | None:
    """What is in the folders of all jobs; None if one has neither a result nor a failure."""
    names: dict[int, list[str]] = {}
    for name, shard in others.items():
        names.setdefault(shard, []).append(name)
    found: dict[str, JobFolder] = {}
    for number in sorted(names):
        there = records.look(notes, names[number])
        for name in names[number]:
            folder = there.get(name, JobFolder())
            if not (folder.has_result or folder.has_failed):
                return None
            found[name] = folder
    return found


def as_csv(summary: Summary) -> str:
    """The rows, with a header: the fields of a row, then a column for each setting that differs
    from the defaults in any row, as JSON unless it is text or a number. A row is one line. What a
    spreadsheet would take for a formula is prefixed with ``'``, also behind a semicolon, which
    separates cells where the comma is a decimal one.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    fields = [name for name in Row.model_fields if name != "settings"]
    paths = sorted({path for row in summary.jobs for path in row.settings})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*fields, *map(_cell, paths)])
    for row in summary.jobs:
        values = [_cell(getattr(row, name)) for name in fields]
        chosen = [_setting(row.settings[it]) if it in row.settings else "" for it in paths]
        writer.writerow([*values, *chosen])
    return out.getvalue()


def _setting(value: object) -> object:
    """A stage that is skipped is null; an empty cell is the default."""
    return "null" if value is None else _cell(value)


def _cell(value: object) -> object:
    if isinstance(value, bool | list | dict):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    # Also after blanks, control characters and quotes.
    bare = value.lstrip("".join(map(chr, range(33))) + '\ufeff\u00a0"')
    is_formula = bare.startswith(FORMULA) or value.startswith(("\t", "\r", "\n"))
    plain = _AFTER_SEMICOLON.sub(r"\1'", one_line(value))
    return f"'{plain}" if is_formula else plain


def _row(notes: Notes, name: str, model: str, there: JobFolder) -> Row:
    """A failure is newer than a result beside it: a job that is done removes it."""
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
    except (ValueError, LookupError, ArithmeticError):  # it is not trusted
        error: ParedownError = InputError(
            "result.json can't be read: it is damaged, or of another version.",
            where=f"{notes.place}/{name}/{RESULT_FILE}",
            hint="Run the batch again.",
        )
        return row_of_failure(failure_of(name, error, 0), model)
