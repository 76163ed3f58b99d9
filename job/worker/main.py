"""What a child process runs: tasks, with TensorFlow; see ``worker.py`` for the parent's side.

A task comes on standard input as one line of JSON, the next one when it is done; the line ``stop``
may come at any time. Events go to what was standard output, a line each; whatever prints to
standard output from then on is chatter, and goes to standard error.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from job.errors import (
    InputError,
    ParedownError,
)
from job.events import Emit, Event, Journal
from job.result import InspectedModel, WorkResult
from job.resume.checkpoints import Kept, StoppedError
from job.worker.failures import in_words

if TYPE_CHECKING:
    from job.safety.judge import Judged

# What the parent says when the work is to stop.
STOP = "stop\n"
# How often a folder is removed that is still written to: for about a second.
REMOVAL_TRIES = 100
# How long the removal of folders may take, in seconds.
REMOVAL_S = 5.0


@dataclass(frozen=True)
class Task:
    """What the child is to do, with local paths."""

    kind: Literal["transform", "inspect"]
    model: str
    """The model: a file or a folder."""
    model_name: str
    """What it is called in messages."""
    model_bytes: int
    output: str
    """An empty folder for what is made."""
    scratch: str
    """The folder that holds ``output`` and ``kept``; gone when the run is over, however it ends."""
    kept: str
    """What a stopped run of the same job has left, see ``kept.py``; new pieces go there."""
    save_every_s: float = 60.0
    """How often a training is saved there, in seconds."""
    trust: bool = False
    """Whether code that the model carries may run."""
    variants: bool = True
    """Whether an inspection tries every quantize variant."""
    manifest: dict[str, Any] | None = None
    """The job; None where the model is only inspected."""
    datasets: list[str] = field(default_factory=list)
    """The data set's files, in their order; empty where the model is only inspected."""


def main() -> None:
    """What the child runs: tasks, one after another, each one's events on what was standard
    output.
    """
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever prints to standard output from here on is chatter
    whole = threading.Lock()

    def emit(event: Event) -> None:
        with whole:
            events.write(json.dumps(event) + "\n")

    running = _Running(emit)
    own = os.environ["TMPDIR"]
    hearing = threading.Thread(target=_obey, args=(running, own), daemon=True)
    hearing.start()
    try:
        while True:
            _carry_out(running.tasks.get(), running)
    except BrokenPipeError:
        # The parent is gone and nobody reads events. The other thread removes the folders, and
        # then ends this process.
        hearing.join(REMOVAL_S)
        raise


class _Running:
    """What the thread that hears the parent knows of the work."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self.scratch: str | None = None
        self._kept: Kept | None = None
        self._is_stopped = False
        self._changing = threading.Lock()

    def keep(self, kept: Kept) -> None:
        """The work has begun, which may be told to stop already."""
        with self._changing:
            self._kept = kept
            if self._is_stopped:
                kept.stop(self.end)

    def stop(self) -> None:
        """Stop the work where it is, or when it begins."""
        with self._changing:
            self._is_stopped = True
            if self._kept is not None:
                self._kept.stop(self.end)
            elif self.scratch is None:
                os._exit(0)

    def end(self) -> None:
        """The work has stopped."""
        self.emit({"event": "stopped", "piece": self._kept and self._kept.last})
        os._exit(0)  # TensorFlow's own end takes a while and has nothing left to do


def _carry_out(task: Task, running: _Running) -> None:
    """Do a task, say what came of it, and forget it."""
    _use_scratch(task.scratch)
    journal = Journal(running.emit)
    kept = Kept(Path(task.kept), journal, task.save_every_s)
    running.keep(kept)
    last = _work(task, journal, kept)
    if last is None:
        running.end()
    else:
        running.emit(last)
    _let_go()


def _use_scratch(folder: str) -> None:
    """What libraries write goes there, and with it."""
    tempfile.tempdir = folder
    os.environ["TMPDIR"] = folder


def _let_go() -> None:
    """Forget the model and its graphs, which the next task has no use for."""
    keras = sys.modules.get("tf_keras")
    if keras is not None:
        keras.backend.clear_session()
    gc.collect()


def _work(task: Task, journal: Journal, kept: Kept) -> Event | None:
    """The last event: the result, or the error; None where the work was told to stop, and has."""
    try:
        judged = _scan(task, journal)
        result = WORK[task.kind](task, judged, journal, kept)
        return {"event": "work_result", "result": result.model_dump(mode="json")}
    except StoppedError:
        return None
    except (Exception, MemoryError) as error:  # noqa: BLE001 - the parent must be told whatever it is
        with contextlib.suppress(OSError):  # the log may be on a full disk
            traceback.print_exc()
        return _error_event(in_words(error, task.scratch))


def _scan(task: Task, journal: Journal) -> Judged:
    """Judge the model before TensorFlow is imported, in which it could run."""
    with journal.stage("scan") as stage:
        from job.safety.judge import judge, refuse_dangers  # the parent imports this module too
        from job.safety.limits import scanning

        try:
            with scanning(task.model_bytes):
                judged = judge(Path(task.model), task.model_name)
        except MemoryError:
            raise InputError(
                "Looking at the model takes more memory than its description can need.",
                where=task.model_name,
                hint="It is damaged, or made to do harm.",
            ) from None
        stage.decide(f"{judged.format}, saved by Keras {judged.keras_version}")
        if task.kind == "transform" and not task.trust:
            refuse_dangers(judged)
        if task.trust:
            for it in judged.dangers:
                journal.warn(f"model.trust let code of the model run, in {it.layer}: {it.what}")
        return judged


def _transform(task: Task, judged: Judged, journal: Journal, kept: Kept) -> WorkResult:
    with journal.stage("import"):
        _import_tensorflow()
    from job.worker.load_inputs import Files
    from job.worker.transform import transform

    assert task.manifest is not None  # the task is to carry it out
    files = Files(judged, tuple(map(Path, task.datasets)), Path(task.output))
    return transform(task.manifest, files, kept, journal)


def _inspect(task: Task, judged: Judged, journal: Journal, _: Kept) -> InspectedModel:
    if judged.dangers:  # nothing of it is loaded
        from job.safety.judge import advice

        return InspectedModel(
            format=judged.format,
            keras_version=judged.keras_version,
            dangers=[f"{it.what} (layer {it.layer})" for it in judged.dangers],
            advice=advice(judged),
        )
    with journal.stage("import"):
        _import_tensorflow()
    from job.worker.inspect import examine

    return examine(judged, journal, try_variants=task.variants)


WORK: dict[str, Callable[[Task, Judged, Journal, Kept], WorkResult | InspectedModel]] = {
    "transform": _transform,
    "inspect": _inspect,
}


def _import_tensorflow() -> None:
    """Import what needs TensorFlow, with the garbage collector out of the way: importing makes
    many objects that stay, which it would look at again and again, then and in all the run.
    """
    if "job.worker.transform" in sys.modules:
        return
    gc.disable()
    # tf_keras imports SciPy for image augmentation and does without; it takes a quarter second.
    sys.modules["scipy"] = None  # type: ignore[assignment]  # how Python marks it as missing
    importlib.import_module("job.worker.transform")
    del sys.modules["scipy"]
    gc.freeze()
    gc.enable()


def _error_event(error: ParedownError) -> Event:
    return {
        "event": "work_error",
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
    }


def _obey(running: _Running, own: str) -> None:
    """Hear the parent: tasks, the word to stop, and the end of standard input, which comes when the
    parent is gone, who would have removed this process's own folder and the task's.

    Args:
        running: Is told.
        own: The process's own folder; of a batch, the one that holds those of all jobs, also of
            those that wait for a worker.
    """
    for line in sys.stdin:
        if line == STOP:
            running.stop()
        else:
            task = Task(**json.loads(line))
            running.scratch = task.scratch
            running.tasks.put(task)
    for _ in range(REMOVAL_TRIES):
        # The work goes on meanwhile and may put a file where one was just removed. Once the folder
        # itself is gone, nothing makes it again.
        there = [it for it in (own, running.scratch) if it is not None and Path(it).exists()]
        if not there:
            break
        for folder in there:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
    os._exit(1)
