"""What a run writes, in which order, and whose result stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from job.manifest.compress import ENCODINGS
from job.manifest.job import JobConfig
from job.report.tables import finished_event
from job.result.artifact import C_SUFFIX, FORMATS, media_type
from job.result.fetched import InputResult
from job.result.result import MANIFEST_FILE, RESULT_FILE, Result
from job.run import earlier, page_files, termination
from job.run.inputs import refuse_own_inputs
from job.run.job_run import JobRun
from job.storage import scratch_files
from job.storage.backend import RUN_ID_KEY
from job.storage.destination import Publication


@dataclass(frozen=True)
class Prepared:
    """A run that has to be done, and may write to its destination."""

    run_id: str
    inputs: Mapping[str, InputResult]
    replaced: list[str]
    """Files of an earlier result that will be replaced."""
    failed: list[str]
    """Files that an earlier run which failed has left."""


def prepare(run: JobRun, there: Result | None, inputs: Mapping[str, InputResult]) -> Prepared:
    """Make sure, before any work, that the results can be written and overwrite nothing else than
    the result that is there.

    Raises:
        ManifestError: Where an input or a file that paredown did not create would be overwritten.
    """
    run_id, names = earlier.run_id(run.job, inputs), planned(run.job)
    replaced = [*earlier.digests(there), *earlier.PAGES] if there else []
    failed = earlier.of_failure(run.destination)
    refuse_own_inputs(run.inputs, run.destination.place, [*names, *replaced, *failed])
    ours = {*earlier.written(there), *failed}
    # Beside a result the pages count as paredown's, also where this run makes none.
    protected = [name for name in dict.fromkeys([*names, *earlier.PAGES]) if name not in ours]
    run.destination.prepare(run_id, protected)
    return Prepared(run_id, inputs, replaced, failed)


def publish(run: JobRun, prepared: Prepared, result: Result, output: Path) -> Result:
    """Put the files of a folder at the destination, ``result.json`` last.

    Returns:
        The result that stands there now: of another run of the same manifest, where that was first.

    Raises:
        ManifestError: Where a run of another manifest has published there meanwhile.
    """
    where = str(run.destination.place)

    def parse(content: bytes) -> Result:
        found = earlier.parse(content, where)
        assert found is not None  # there is a content
        return found

    def stands(content: bytes) -> bool:
        theirs = parse(content)
        earlier.refuse_another(theirs, prepared.run_id, run.job, where)
        return theirs.run_id == prepared.run_id and earlier.is_whole(theirs, run.destination)

    metadata = {RUN_ID_KEY: prepared.run_id}
    with run.journal.stage("publish") as stage:
        _write(run, result, output)
        files = sorted((path.name for path in output.iterdir()), key=_rank)
        total = sum((output / name).stat().st_size for name in files)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if done < total:  # what is put a second time is not counted again
                stage.advance(done, total)

        media_types = {name: media_type(name) for name in files}
        publication = Publication(
            output, media_types, prepared.replaced, metadata, stands, prepared.failed
        )
        standing = run.destination.publish(publication, advance)
        stage.advance(total, total)
    return parse(standing)


def _write(run: JobRun, result: Result, output: Path) -> None:
    """Put the pages into the folder, and ``manifest.json`` and ``result.json``. Where there can be
    no pages, the work is not lost: the log and the result say why.
    """
    if run.job.report is not None:
        pages = page_files.of_result(result)
        for name, content in pages.files.items():
            scratch_files.write_bytes(output / name, content)
        if pages.problem:
            run.journal.warn(pages.problem)
            result = result.model_copy(update={"warnings": [*result.warnings, pages.problem]})
    scratch_files.write_json(output / MANIFEST_FILE, result.manifest)
    scratch_files.write_json(output / RESULT_FILE, result.model_dump(mode="json"))


def finish(run: JobRun, result: Result, *, already_done: bool) -> Result:
    """Remove the checkpoints, and report the result that stands."""
    run.destination.forget()
    termination.finished(result, run.progress.warn)
    where = str(run.destination.place)
    run.progress.show(finished_event(result, where, already_done=already_done))
    return result


def planned(job: JobConfig) -> list[str]:
    """The files that the job is going to write, but for ``result.json``."""
    tflite = FORMATS["tflite"].suffix
    formats = [it for it in FORMATS.values() if it.suffix != tflite]
    endings = [suffix for it in formats for suffix in it.suffixes]
    stages = [*job.models]
    if job.search is not None and job.search.tries_clusters:
        stages.append("cluster")
    models = [f"{stage}{ending}" for stage in stages for ending in endings]
    models += [f"{name}{tflite}" for name in job.variants]
    suffixes = ["", *(ENCODINGS[codec.type].suffix for codec in job.codecs)]
    arrays = [f"{name}{tflite}{C_SUFFIX}" for name, it in job.variants.items() if it.c_array]
    files = [f"{model}{suffix}" for model in models for suffix in suffixes]
    pages = [] if job.report is None else earlier.PAGES
    return [*files, *arrays, *pages, MANIFEST_FILE]


def _rank(name: str) -> tuple[int, str]:
    """The order of publishing: models, their encodings, the pages, the manifest, the result."""
    last = [*earlier.PAGES, MANIFEST_FILE, RESULT_FILE]
    if name in last:
        return 2 + last.index(name), name
    made_of_models = (*(it.suffix for it in ENCODINGS.values()), C_SUFFIX)
    return (1 if name.endswith(made_of_models) else 0), name
