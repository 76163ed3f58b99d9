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

from job import earlier, machine, worker
from job.child import Task
from job.errors import InputError, InterruptedRunError, ParedownError
from job.inputs import fetch, find_inputs, in_users_words
from job.journal import Journal
from job.keeper import Keeper
from job.manifest.job import JobConfig
from job.manifest.outputs import SUFFIXES
from job.manifest.storage import ResumeConfig
from job.progress import Event, Screen
from job.report.table import finished_event
from job.result import MANIFEST_FILE, RESULT_FILE, InputResult, Result, WorkResult
from job.store import local
from job.store.destination import RUN_ID_KEY, Destination, Publication, open_destination
from job.store.found import Fetched
from job.store.stores import Stores
from job.store.uri import Place, find_place


def run_job(job: JobConfig, base: Place, screen: Screen, *, verbose: bool) -> Result:
    """Run a job, or find that it is done.

    Args:
        job: The manifest.
        base: The folder that its relative URIs are relative to.
        screen: Where progress is shown.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        The result; it is published at the destination.

    Raises:
        ParedownError: Nothing is published then.
    """
    watched = _Watched(screen)
    watched.show({"event": "run_started", "name": job.name})
    try:
        return _Run(job, base, watched, verbose=verbose).result()
    except InterruptedRunError as error:
        raise InterruptedRunError(error.number, watched.stage, kept=watched.kept) from None


class _Watched:
    """A screen that remembers which stage is running, and whether anything of it was kept."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.stage = "fetch"
        self.kept = False

    def show(self, event: Event) -> None:
        match event["event"]:
            case "stage_started":
                self.stage = event["stage"]
            case "kept":
                self.kept = True
        self.screen.show(event)

    def warn(self, message: str) -> None:
        self.show({"event": "warning", "message": message})

    def wait(self) -> None:
        self.warn("Another run is writing to this destination; this one waits for its end.")


@dataclass(frozen=True)
class _Begun:
    """A run whose inputs are known, and which has to be done."""

    run_id: str
    inputs: Mapping[str, InputResult]
    replaced: list[str]
    """Files of an earlier result that will be replaced."""


class _Run:
    """One run, from its manifest to its result."""

    def __init__(self, job: JobConfig, base: Place, watched: _Watched, *, verbose: bool) -> None:
        self.job = job
        self.watched = watched
        self.verbose = verbose
        self.started = time.time()
        self.journal = Journal(watched.show)
        self.stores = Stores(self.journal.warn)
        self.inputs = find_inputs(job, base, self.stores)
        self.destination: Destination = open_destination(
            find_place(job.destination.uri, base),
            self.stores,
            job.destination.storage or job.storage,
        )

    def result(self) -> Result:
        """Do what is not done already."""
        with self.destination.claimed(self.watched.wait):
            content = self.destination.read(RESULT_FILE)
            there = earlier.parse(content)
            known = self._known(there)
            done = known and self._done(content, there, known)
            if done:
                return done
            with local.scratch() as scratch:
                fetched = fetch(self.inputs, scratch / "inputs", self.stores, self.journal)
                if known is None:
                    known = {name: it.fetched(fetched[name]) for name, it in self.inputs.items()}
                    done = self._done(content, there, known)
                    if done:
                        return done
                replaced = list(earlier.digests(there)) if there else []
                begun = _Begun(earlier.run_id(self.job, known), known, replaced)
                self.destination.prepare(begun.run_id, [] if content else planned(self.job))
                return self._do(begun, fetched, scratch)

    def _known(self, there: Result | None) -> dict[str, InputResult] | None:
        """The inputs' digests, where all are known before anything is fetched."""
        before: Mapping[str, InputResult] = there.inputs if there else {}
        known = {name: it.known(before.get(name)) for name, it in self.inputs.items()}
        found = {name: it for name, it in known.items() if it is not None}
        return found if len(found) == len(known) else None

    def _done(
        self, content: bytes | None, there: Result | None, known: Mapping[str, InputResult]
    ) -> Result | None:
        """The result that is there already, whole, of this very run."""
        if content is None:
            return None
        run_id = earlier.run_id(self.job, known)
        earlier.refuse_another(there, run_id, self.job, str(self.destination.place))
        if there is None or there.run_id != run_id:
            return None
        if earlier.is_whole(there, self.destination):
            self.destination.forget()
            self._finish(there, already_done=True)
            return there
        self.journal.warn("A file of the earlier result is missing or damaged: it is done again.")
        return None

    def _do(self, begun: _Begun, fetched: Mapping[str, Fetched], scratch: Path) -> Result:
        """Transform and publish."""
        output, kept = scratch / "output", scratch / "kept"
        with self._kept(begun.run_id, kept) as hear:
            work = self._transform(begun, fetched, scratch, hear)
            result = self._assemble(begun, work)
            local.write_json(output / MANIFEST_FILE, result.manifest)
            local.write_json(output / RESULT_FILE, result.model_dump(mode="json"))
            standing = self._publish(begun, output)  # where that fails the work is kept
        self.destination.forget()
        theirs = earlier.parse(standing)
        assert theirs is not None  # it is ours, or was found to be as good
        self._finish(theirs, already_done=False)
        return theirs

    @contextlib.contextmanager
    def _kept(self, run_id: str, folder: Path) -> Iterator[Keeper | None]:
        """What a killed run has left is here, and what this one does is kept in its turn."""
        folder.mkdir()
        resume = self.job.resume
        if resume is None:
            yield None
            return
        for reason in self.destination.restore(run_id, folder):
            self.journal.warn(f"What an earlier run has kept can't be used, {reason}")
        with Keeper(self.destination, run_id, folder, resume, self.watched.warn) as keeper:
            yield keeper

    def _transform(
        self,
        begun: _Begun,
        fetched: Mapping[str, Fetched],
        scratch: Path,
        keeper: Keeper | None,
    ) -> WorkResult:
        def emit(event: Event) -> None:
            if keeper is not None:
                keeper.hear(event)
            self.watched.show(event)

        (model,) = fetched["model"].paths.values()
        resume = self.job.resume or ResumeConfig()
        task = Task(
            kind="transform",
            model=str(model),
            model_name=str(self.inputs["model"].found.place),
            model_bytes=begun.inputs["model"].bytes,
            output=str(scratch / "output"),
            scratch=str(scratch),
            trust=self.job.model.trust,
            manifest=self.job.model_dump(mode="json"),
            datasets=[str(it) for it in fetched["dataset"].paths.values()],
            kept=str(scratch / "kept"),
            save_every_s=resume.save_every_s,
        )
        try:
            # The other half of the grace is for what was saved to get to the destination.
            raw = worker.run(task, emit, verbose=self.verbose, grace_s=resume.grace_s / 2)
        except ParedownError as error:
            raise in_users_words(error, self.inputs, fetched) from None
        return WorkResult.model_validate(raw)

    def _publish(self, begun: _Begun, output: Path) -> bytes:
        def stands(content: bytes) -> bool:
            theirs = earlier.parse(content)
            where = str(self.destination.place)
            earlier.refuse_another(theirs, begun.run_id, self.job, where)
            if theirs is None or theirs.run_id != begun.run_id:
                return False
            return earlier.is_whole(theirs, self.destination)

        files = sorted((path.name for path in output.iterdir()), key=_rank)
        total = sum((output / name).stat().st_size for name in files)
        it = Publication(output, files, begun.replaced, {RUN_ID_KEY: begun.run_id}, stands)
        with self.journal.stage("publish") as stage:
            done = 0

            def advance(more: int) -> None:
                nonlocal done
                done += more
                stage.advance(done, total)

            return self.destination.publish(it, advance)

    def _assemble(self, begun: _Begun, work: WorkResult) -> Result:
        if work.artifacts[0].sha256 != begun.inputs["model"].sha256:
            raise InputError("The model file changed while the job ran.", where=self.job.model.uri)
        fields = {name: getattr(work, name) for name in WorkResult.model_fields}
        return Result(
            name=self.job.name,
            status="succeeded" if all(gate.passed for gate in work.gates) else "gate_missed",
            run_id=begun.run_id,
            started_at=dt.datetime.fromtimestamp(self.started, dt.UTC).isoformat(),
            seconds=round(time.time() - self.started, 3),
            manifest=self.job.model_dump(mode="json"),
            inputs=dict(begun.inputs),
            versions=machine.versions(),
            environment=machine.environment(),
            retries=self.stores.retries,
            **fields
            | {
                "stages": [*self.journal.results(), *work.stages],
                "warnings": [*self.journal.warnings, *work.warnings],
            },
        )

    def _finish(self, result: Result, *, already_done: bool) -> None:
        where = str(self.destination.place)
        self.watched.show(finished_event(result, where, already_done=already_done))


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
