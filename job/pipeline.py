"""The story of a job: find, done already?, fetch, transform, publish.

This is the parent process. It does all input and output, holds the credentials and never imports
TensorFlow; the work is done in a child process (``worker.py`` starts ``child.py``, which runs
``transform.py``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from job import machine
from job.errors import InputError, InterruptedRunError, ParedownError
from job.events import Emit, Event, Journal
from job.manifest.job import JobConfig
from job.manifest.storage import ResumeConfig
from job.metrics import gates
from job.report.table import finished_event
from job.result import (
    MANIFEST_FILE,
    RESULT_FILE,
    ArtifactResult,
    ChosenResult,
    InputResult,
    Result,
    WorkResult,
)
from job.run import earlier, supervisor, termination
from job.run.checkpoints import Keeper
from job.run.inputs import Input, fetch, find_inputs, in_users_words, refuse_own_inputs
from job.run.publish import Published, planned, publish
from job.storage import local
from job.storage.backend import Fetched, Stores
from job.storage.destination import Destination
from job.storage.place import Place, find_place
from job.worker.main import Task


def run_job(job: JobConfig, base: Place, show: Emit, children: supervisor.Children) -> Result:
    """Run a job, or find that it is done.

    Args:
        job: The manifest.
        base: The folder that its relative URIs are relative to.
        show: Is told what happens.
        children: Where the child process comes from.

    Returns:
        The result; it is published at the destination.

    Raises:
        ParedownError: Nothing is published then.
    """
    watched = _Watched(show)
    watched.show({"event": "run_started", "name": job.name})
    try:
        return _result(_begin(job, base, watched, children))
    except InterruptedRunError as error:
        raise InterruptedRunError(error.number, watched.stage, kept=watched.kept) from None


class _Watched:
    """Hands events on, and remembers which stage is running, and whether anything was kept."""

    def __init__(self, show: Emit) -> None:
        self._show = show
        self.stage = "fetch"
        self.kept = False
        self.waited_s = 0.0
        """For another run that wrote to the same destination."""
        self.earlier_s = 0.0
        """That earlier runs spent on what was taken from them."""
        self._waits_since: float | None = None

    def show(self, event: Event) -> None:
        match event["event"]:
            case "stage_started":
                self.stage = event["stage"]
            case "stage_finished":
                self.earlier_s += event.get("earlier_s", 0.0)
            case "child_died":  # the stages start again, and nothing is taken over
                self.earlier_s = 0.0
            case "kept":
                self.kept |= bool(event["piece"])
        self._show(event)

    def warn(self, message: str) -> None:
        self.show({"event": "warning", "message": message})

    def wait(self) -> None:
        self._waits_since = time.monotonic()
        self.warn("Another run is writing to this destination; this one waits for its end.")

    def go_on(self) -> None:
        """The destination is this run's."""
        if self._waits_since is not None:
            self.waited_s = time.monotonic() - self._waits_since


@dataclass(frozen=True)
class _Begun:
    """A run whose inputs are known, and which has to be done."""

    run_id: str
    inputs: Mapping[str, InputResult]
    replaced: list[str]
    """Files of an earlier result that will be replaced."""


@dataclass(frozen=True)
class _Run:
    """A run: what is asked, where things are, who is told."""

    job: JobConfig
    watched: _Watched
    journal: Journal
    stores: Stores
    inputs: Mapping[str, Input]
    destination: Destination
    started: float
    children: supervisor.Children


def _begin(job: JobConfig, base: Place, watched: _Watched, children: supervisor.Children) -> _Run:
    """Find the inputs and the destination."""
    started = time.time()
    journal = Journal(watched.show)
    stores = Stores(journal.warn)
    inputs = find_inputs(job, base, stores)
    storage = job.destination.storage or job.storage
    place = find_place(job.destination.uri, base)
    destination = Destination(place, stores.backend(place, storage), stores.warn)
    return _Run(job, watched, journal, stores, inputs, destination, started, children)


def _result(run: _Run) -> Result:
    """Do what is not done already."""
    with run.destination.claimed(run.watched.wait):
        run.watched.go_on()
        content = run.destination.read(RESULT_FILE)
        there = earlier.parse(content, str(run.destination.place))
        known = _known(run, there)
        done = known and _done(run, there, known)
        if done:
            return done
        with local.scratch(run.children.folder) as scratch:
            fetched = fetch(run.inputs, scratch / "inputs", run.stores, run.journal)
            if known is None:
                known = {name: it.fetched(fetched[name]) for name, it in run.inputs.items()}
                done = _done(run, there, known)
                if done:
                    return done
            replaced = list(earlier.digests(there)) if there else []
            refuse_own_inputs(run.inputs, run.destination.place, [*planned(run.job), *replaced])
            begun = _Begun(earlier.run_id(run.job, known), known, replaced)
            ours = earlier.written(there)
            protected = [name for name in planned(run.job) if name not in ours]
            run.destination.prepare(begun.run_id, protected)
            return _do(run, begun, fetched, scratch)


def _known(run: _Run, there: Result | None) -> dict[str, InputResult] | None:
    """The inputs' digests, where all are known before anything is fetched."""
    before: Mapping[str, InputResult] = there.inputs if there else {}
    known = {name: it.known(before.get(name)) for name, it in run.inputs.items()}
    found = {name: it for name, it in known.items() if it is not None}
    return found if len(found) == len(known) else None


def _done(run: _Run, there: Result | None, known: Mapping[str, InputResult]) -> Result | None:
    """The result that is there already, whole, of this very run."""
    if there is None:
        return None
    run_id = earlier.run_id(run.job, known)
    earlier.refuse_another(there, run_id, run.job, str(run.destination.place))
    if there.run_id != run_id:
        return None
    if earlier.is_whole(there, run.destination):
        run.destination.forget()
        _finish(run, there, already_done=True)
        return there
    run.journal.warn("A file of the earlier result is missing or damaged: it is done again.")
    return None


def _do(run: _Run, begun: _Begun, fetched: Mapping[str, Fetched], scratch: Path) -> Result:
    """Transform and publish."""
    output, kept = scratch / "output", scratch / "kept"
    with _kept(run, begun.run_id, kept) as hear:
        work = _transform(run, begun, fetched, scratch, hear)
        result = _assemble(run, begun, work)
        local.write_json(output / MANIFEST_FILE, result.manifest)
        local.write_json(output / RESULT_FILE, result.model_dump(mode="json"))
        published = Published(run.job, begun.run_id, begun.replaced, output)
        # Where this fails the work is kept.
        standing = publish(published, run.destination, run.journal)
    run.destination.forget()
    theirs = earlier.parse(standing, str(run.destination.place))
    assert theirs is not None  # it is ours, or was found to be as good
    _finish(run, theirs, already_done=False)
    return theirs


@contextlib.contextmanager
def _kept(run: _Run, run_id: str, folder: Path) -> Iterator[Keeper | None]:
    """What a killed run has left is here, and what this one does is kept in its turn."""
    folder.mkdir()
    resume = run.job.resume
    if resume is None:
        yield None
        return
    for reason in run.destination.restore(run_id, folder):
        run.journal.warn(f"What an earlier run has kept can't be used, {reason}")
    with Keeper(run.destination, run_id, folder, resume, run.watched.warn) as keeper:
        yield keeper


def _transform(
    run: _Run,
    begun: _Begun,
    fetched: Mapping[str, Fetched],
    scratch: Path,
    keeper: Keeper | None,
) -> WorkResult:
    def emit(event: Event) -> None:
        if keeper is not None:
            keeper.hear(event)
        run.watched.show(event)

    (model,) = fetched["model"].paths.values()
    resume = run.job.resume or ResumeConfig()
    task = Task(
        kind="transform",
        model=str(model),
        model_name=str(run.inputs["model"].found.place),
        model_bytes=begun.inputs["model"].bytes,
        output=str(scratch / "output"),
        scratch=str(scratch),
        trust=run.job.model.trust,
        manifest=run.job.model_dump(mode="json"),
        datasets=[str(it) for it in fetched["dataset"].paths.values()],
        kept=str(scratch / "kept"),
        save_every_s=resume.save_every_s,
    )
    try:
        # The other half of the grace is for what was saved to get to the destination.
        raw = supervisor.run(task, emit, run.children, resume.grace_s / 2)
    except ParedownError as error:
        raise in_users_words(error, run.inputs, fetched) from None
    return WorkResult.model_validate(raw)


def _assemble(run: _Run, begun: _Begun, work: WorkResult) -> Result:
    if work.artifacts[0].sha256 != begun.inputs["model"].sha256:
        raise InputError("The model file changed while the job ran.", where=run.job.model.uri)
    fields = {name: getattr(work, name) for name in WorkResult.model_fields}
    chosen = gates.choose(work.artifacts, work.gates)
    waited_s = run.watched.waited_s + run.children.waited_s
    return Result(
        name=run.job.name,
        status="gate_missed" if gates.is_missed(chosen, work.gates) else "succeeded",
        run_id=begun.run_id,
        started_at=dt.datetime.fromtimestamp(run.started, dt.UTC).isoformat(),
        seconds=round(max(0.0, time.time() - run.started - waited_s) + run.watched.earlier_s, 3),
        waited_s=round(waited_s, 3),
        earlier_s=round(run.watched.earlier_s, 3),
        chosen=None if chosen is None else _chosen(chosen),
        manifest=run.job.model_dump(mode="json"),
        inputs=dict(begun.inputs),
        versions=machine.versions(),
        environment=machine.environment(),
        retries=run.stores.retries,
        **fields
        | {
            "stages": [*run.journal.results(), *work.stages],
            "warnings": [*run.journal.warnings, *work.warnings],
        },
    )


def _chosen(artifact: ArtifactResult) -> ChosenResult:
    encoding, size = artifact.smallest
    return ChosenResult(
        artifact=artifact.name, path=artifact.smallest_path, encoding=encoding, bytes=size
    )


def _finish(run: _Run, result: Result, *, already_done: bool) -> None:
    where = str(run.destination.place)
    termination.finished(result, run.watched.warn)
    run.watched.show(finished_event(result, where, already_done=already_done))
