"""The summary of a batch that is shared out: written by the shard that finds all jobs finished.

No shard knows when the others end, so each looks when it ends itself: for a result or a failure of
every job of every other shard. Whichever ends last finds them all. Two that end at once may both
find them, and both write the same; where one of them wrote what has changed meanwhile, it writes
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from job.batch import records
from job.batch.collect import collect, refuse_foreign, write_summary
from job.batch.records import JobFolder
from job.batch.summary import Row
from job.errors import ManifestError
from job.storage.markers import Notes

# Each time another shard has changed what was summarized; then that one writes the summary, too.
MOST_TIMES = 5


def summarize_if_last(
    notes: Notes, others: Mapping[str, int], known: Iterable[Row], warn: Callable[[str], None]
) -> bool:
    """Write ``summary.json`` and ``summary.csv`` where every job of the batch is finished, as those
    of this shard are.

    A shard that is not the last one stops looking at the first job that is not finished.

    Args:
        notes: The batch's destination.
        others: The jobs of the other shards by their names, with the shard of each.
        known: Rows of the jobs that this shard has just done, which need not be read.
        warn: Is told where a file of somebody else is in the way.

    Returns:
        Whether they were written.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
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
        write_summary(notes, collect(notes, known=rows))
        written, before = True, there
        there = _all_finished(notes, others)
        if there == before:
            break
    return written


def _all_finished(notes: Notes, others: Mapping[str, int]) -> dict[str, JobFolder] | None:
    """What is in the folders of all jobs; None where one has neither a result nor a failure."""
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
