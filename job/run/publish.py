"""Publishing: what a run writes, in which order, and whose result stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from job.artifact import media_type
from job.events import Journal
from job.manifest.job import JobConfig
from job.manifest.outputs import SUFFIXES
from job.result import MANIFEST_FILE, RESULT_FILE
from job.run import earlier
from job.storage.backend import RUN_ID_KEY
from job.storage.destination import Destination, Publication


@dataclass(frozen=True)
class Published:
    """A run whose files are to be published."""

    job: JobConfig
    run_id: str
    replaced: list[str]
    """Files of an earlier result that is replaced."""
    output: Path
    """The folder that holds the files, ``result.json`` among them."""


def publish(it: Published, destination: Destination, journal: Journal) -> bytes:
    """Put the files at the destination, ``result.json`` last.

    Returns:
        The result that stands there now: of another run of the same manifest, where that was first.

    Raises:
        ManifestError: Where a run of another manifest has published there meanwhile.
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """

    def stands(content: bytes) -> bool:
        where = str(destination.place)
        theirs = earlier.parse(content, where)
        assert theirs is not None  # there is a content
        earlier.refuse_another(theirs, it.run_id, it.job, where)
        return theirs.run_id == it.run_id and earlier.is_whole(theirs, destination)

    files = sorted((path.name for path in it.output.iterdir()), key=_rank)
    total = sum((it.output / name).stat().st_size for name in files)
    media_types = {name: media_type(name) for name in files}
    metadata = {RUN_ID_KEY: it.run_id}
    with journal.stage("publish") as stage:
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if done < total:  # what is put a second time is told as the same
                stage.advance(done, total)

        files_there = Publication(it.output, media_types, it.replaced, metadata, stands)
        standing = destination.publish(files_there, advance)
        stage.advance(total, total)
        return standing


def planned(job: JobConfig) -> list[str]:
    """The files that the job is going to write, but for ``result.json``."""
    stages = ["baseline", *(["prune"] if job.prune else [])]
    packed = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")
    formats = ("h5", "keras", *(f"savedmodel.{suffix}" for suffix in packed))
    models = [f"{stage}.{suffix}" for stage in stages for suffix in formats]
    models += [f"{name}.tflite" for name in job.variants]
    suffixes = ["", *(SUFFIXES[codec.type] for codec in job.codecs)]
    return [f"{model}{suffix}" for model in models for suffix in suffixes] + [MANIFEST_FILE]


def _rank(name: str) -> tuple[int, str]:
    """The order of publishing: models, their encodings, the manifest, the result."""
    if name in (MANIFEST_FILE, RESULT_FILE):
        return (2 if name == MANIFEST_FILE else 3), name
    is_encoding = any(name.endswith(suffix) for suffix in SUFFIXES.values())
    return (1 if is_encoding else 0), name
