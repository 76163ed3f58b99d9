"""The manifest of kind ``batch``: many models, one job for each.

What a batch says of its jobs is kept as the JSON that it is: each entry is merged onto the defaults
and validated once, in linear time. A job's document is made when it is needed and shares with the
defaults what it does not change, so that a batch of ten thousand jobs takes little more memory than
its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from job.errors import ManifestError
from job.manifest.consistency import checked_job, unsupported
from job.manifest.fields import Config, Count, Name, Positive, Uri
from job.manifest.job import SKIPPABLE, JobConfig
from job.manifest.problems import Problem
from job.manifest.storage import DestinationConfig, StorageConfig

# Files beside the jobs' folders, as lower case.
RESERVED = ("summary.json", "summary.csv", "summary.html")
# Placeholders for the name, and for the model where the defaults have none.
NAME: dict[str, Any] = {"name": "x"}
MODEL: dict[str, Any] = {"model": {"uri": "x"}}
# Fields that hold for one model file only.
OF_ONE_MODEL = ("sha256", "trust")
# Fields of data sets whose null is not their default, but says something: a test split that is held
# out, images without labels, texts as they are, words that are left out.
NULL_IS_A_VALUE = ("test", "labels", "standardize", "oov_token")


class DiscoverConfig(Config):
    """Models that are found when the batch begins. Each is a job with the batch's ``defaults``."""

    uri: Uri
    """The folder, or the prefix in a bucket, that is searched; a relative URI is relative to the
    manifest."""
    pattern: Annotated[str, Field(min_length=1)] = "*"
    """Which of the model files there: ``*.keras`` or ``team-*/*.h5``; ``*``, ``?`` and ``[...]``
    stay in their folder, ``**`` is any depth. Left out, those directly in it."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""


def _workers_shape(value: object) -> str:
    """Which of the two is meant: so that only that one's mistakes are reported."""
    return "word" if isinstance(value, str) else "count"


Workers = Annotated[
    Annotated[Literal["auto"], Tag("word")] | Annotated[Count, Tag("count")],
    Discriminator(_workers_shape),
]


class BatchConfig(Config):
    """A batch. Its jobs are listed, or discovered, or both."""

    schema_version: Literal[1] = 1
    kind: Literal["batch"]
    name: Name
    """What the batch is called in tables and logs."""
    defaults: dict[str, Any] = Field(default={})
    """What the jobs have in common: a job's manifest without ``name``. With a ``model``, the jobs
    may leave out theirs: a sweep is one model with many settings. A job that names another ``uri``
    does not take over the ``sha256`` and ``trust`` of that model."""
    jobs: tuple[dict[str, Any], ...] = ()
    """The jobs: each a ``name``, a ``model`` where ``defaults`` has none, and whatever differs from
    ``defaults``, onto which it is merged as JSON Merge Patch (RFC 7396): objects are merged, all
    else is replaced, and null takes away what ``defaults`` says; a stage that is null is skipped.
    Names differ in more than upper and lower case."""
    discover: DiscoverConfig | None = None
    """More jobs: one for each model that is found."""
    workers: Workers = "auto"
    """How many jobs run at once; ``auto`` asks the machine."""
    timeout_s: Positive | None = None
    """Seconds that one job may take; left out, as many as it needs."""
    memory_limit_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)] | None = None
    """Bytes of memory that one job may take; left out, as many as there are."""
    destination: DestinationConfig = Field(default_factory=DestinationConfig)
    """Where the results go: those of a job to the folder of its name in there."""
    storage: StorageConfig = Field(default_factory=StorageConfig)
    """The store of all ``s3://`` URIs that name none of their own."""


def expand(batch: BatchConfig) -> list[JobConfig]:
    """The jobs that a batch lists, in its order.

    Raises:
        ManifestError: With every problem of every job.
    """
    shared = _shared(batch)
    problems: list[Problem] = []
    jobs: list[JobConfig] = []
    for number, entry in enumerate(batch.jobs):
        job = _job(batch, shared, entry)
        if isinstance(job, JobConfig):
            jobs.append(job)
        else:
            problems += [Problem(f"jobs.{number}.{it.path}", it.message) for it in job]
    if problems:
        raise ManifestError(
            "\n  ".join(["Jobs of the batch have problems:", *map(str, problems)]),
            where=batch.name,
            hint="Correct these; `paredown validate` lists them too.",
        )
    return jobs


def discovered(batch: BatchConfig, name: str, uri: str) -> JobConfig:
    """The job of a model that was found: the batch's defaults with this name and this model.

    Raises:
        ManifestError: Where the defaults are not enough for a job, or the name can't be one.
    """
    model: dict[str, Any] = {"uri": uri}
    if batch.discover is not None and batch.discover.storage is not None:
        model["storage"] = batch.discover.storage.model_dump(mode="json", exclude_unset=True)
    job = _job(batch, _shared(batch), {"name": name, "model": model})
    if isinstance(job, JobConfig):
        return job
    raise ManifestError(
        "\n  ".join(["No valid job can be made for a discovered model:", *map(str, job)]),
        where=uri,
        hint="Correct the batch's defaults; a name has letters, digits, dots, dashes, underscores.",
    )


def batch_problems(batch: BatchConfig) -> list[Problem]:
    """Every problem of a batch and its jobs, each with its path; the defaults' are listed once."""
    own = [*_of_the_batch(batch), *_names(batch)]
    shared = _shared(batch)
    alone = dict.fromkeys(_problems(_job(batch, shared, _least_entry(batch))))
    all_of_them = batch.discover is not None or not batch.jobs
    inherited: dict[Problem, list[int]] = {it: [] for it in alone if all_of_them}
    listed: list[Problem] = []
    for number, entry in enumerate(batch.jobs):
        for problem in _problems(_job(batch, shared, entry)):
            if problem in alone and not _has(entry, problem.path):
                inherited.setdefault(problem, []).append(number)
            else:
                listed.append(Problem(f"jobs.{number}.{problem.path}", problem.message))
    for problem, numbers in inherited.items():
        everywhere = len(numbers) == len(batch.jobs) > 1 or all_of_them
        if everywhere or _has(batch.defaults, problem.path):
            own.append(Problem(f"defaults.{problem.path}", problem.message))
        else:
            listed += [Problem(f"jobs.{it}.{problem.path}", problem.message) for it in numbers]
    return own + listed


def _least_entry(batch: BatchConfig) -> dict[str, Any]:
    """The least that a job has beside the defaults."""
    model = batch.defaults.get("model")
    is_named = "model" in batch.defaults and (not isinstance(model, dict) or "uri" in model)
    return NAME if is_named else NAME | MODEL


def _shared(batch: BatchConfig) -> dict[str, Any]:
    """What all jobs share: the batch's store and destination, and then the defaults."""
    written = batch.model_dump(
        mode="json", include={"storage", "destination"}, exclude_unset=True, exclude_none=True
    )
    destination = written.setdefault("destination", {})
    if "storage" in written:  # a job's own store is not its destination's
        destination.setdefault("storage", written["storage"])
    return _merged(written, batch.defaults)


def merge_patch(target: Any, patch: Any) -> Any:
    """What ``target`` becomes by ``patch``: objects are merged, null removes, all else replaces.

    This is JSON Merge Patch, https://www.rfc-editor.org/rfc/rfc7396. Neither is changed. What stays
    the same is shared, not copied.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = merge_patch(target, patch)
    # A null that skips a section is a value, not one that takes the section's default back.
    merged |= {it: None for it in SKIPPABLE if it in patch and patch[it] is None}
    return _with_nulls(merged, patch, ("dataset",))


def _with_nulls(
    merged: dict[str, Any], patch: dict[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """The same with the nulls of some sections that are values, wherever they are in them."""
    found = dict(merged)
    for name in names:
        given, there = patch.get(name), merged.get(name)
        if isinstance(given, dict) and isinstance(there, dict):
            nulls = {it: None for it in NULL_IS_A_VALUE if it in given and given[it] is None}
            found[name] = _with_nulls(there | nulls, given, given)
    return found


def _job(
    batch: BatchConfig, shared: dict[str, Any], entry: dict[str, Any]
) -> JobConfig | list[Problem]:
    document = _merged(_for_another_model(shared, entry), entry)
    destination = document.get("destination")
    if isinstance(destination, dict):
        uri = f"{batch.destination.uri.rstrip('/')}/{entry.get('name', 'x')}"
        document["destination"] = destination | {"uri": uri}
    return checked_job(document)


def _for_another_model(shared: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The defaults, without what holds for their model only where the job has another one."""
    common, own = shared.get("model"), entry.get("model")
    if not isinstance(common, dict) or not isinstance(own, dict):
        return shared
    if own.get("uri", common.get("uri")) == common.get("uri"):
        return shared
    general = {name: value for name, value in common.items() if name not in OF_ONE_MODEL}
    return shared | {"model": general}


def _problems(job: JobConfig | list[Problem]) -> list[Problem]:
    """A job's problems; not those of its destination's URI, which is the batch's."""
    return [it for it in job if it.path != "destination.uri"] if isinstance(job, list) else []


def _of_the_batch(batch: BatchConfig) -> Iterator[Problem]:
    if not batch.jobs and batch.discover is None:
        yield Problem("jobs", "this batch has no job: list some in jobs, or give discover")
    yield from unsupported("destination.uri", batch.destination.uri, ("file", "s3"))
    if batch.discover is not None:
        yield from unsupported("discover.uri", batch.discover.uri, ("file", "s3"))
    if "name" in batch.defaults:
        yield Problem("defaults.name", "each job has its own; write it in jobs")
    places = [("defaults", batch.defaults)]
    places += [(f"jobs.{number}", entry) for number, entry in enumerate(batch.jobs)]
    for path, place in places:
        if _has(place, "destination.uri"):
            yield Problem(
                f"{path}.destination.uri",
                "a job's results are at the batch's destination, in the folder of its name",
            )


def _names(batch: BatchConfig) -> Iterator[Problem]:
    """Names that would share a folder on some disk: upper and lower case are the same."""
    first: dict[str, int] = {}
    for number, entry in enumerate(batch.jobs):
        name = entry.get("name")
        if isinstance(name, str) and name.casefold() in RESERVED:
            yield Problem(f"jobs.{number}.name", f"{name!r} is the name of the batch's summary")
        elif isinstance(name, str):
            other = first.setdefault(name.casefold(), number)
            if other != number:
                yield Problem(
                    f"jobs.{number}.name",
                    f"{name!r} is the name of jobs.{other} too; results are in folders of the "
                    "jobs' names, where upper and lower case are the same",
                )


def _has(document: Any, path: str) -> bool:
    """Whether a document has a value at a path, or one on the way to it that is no object."""
    for part in path.split("."):
        if isinstance(document, dict):
            if part not in document:
                return False
            document = document[part]
        else:
            return True
    return True
