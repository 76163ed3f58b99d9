"""The child process, which carries out tasks with TensorFlow; ``protocol.py`` has their format.

Events go to what was standard output; whatever prints there from then on goes to standard error.
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
from pathlib import Path
from typing import TYPE_CHECKING

from job.errors import InputError
from job.events import Emit, Event, Journal
from job.result.inspected import InspectedModel
from job.result.result import WorkResult
from job.resume.checkpoints import Checkpoints, StoppedError
from job.text import PathsAsText
from job.worker.protocol import STOP, Task, error_event

if TYPE_CHECKING:
    from job.safety.judge import Judged
    from job.worker.context import Files

# How often a folder is removed that is still written to: for about a second.
REMOVAL_TRIES = 100
# How long the removal of folders may take, in seconds.
REMOVAL_S = 5.0


def main() -> None:
    """Carry out tasks, one after another."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    writing = threading.Lock()

    def emit(event: Event) -> None:
        with writing:
            events.write(json.dumps(event) + "\n")

    running = _Running(emit)
    own = os.environ["TMPDIR"]
    listener = threading.Thread(target=_listen, args=(running, own), daemon=True)
    listener.start()
    try:
        while True:
            _carry_out(running.tasks.get(), running)
    except BrokenPipeError:
        # The parent is gone and nobody reads events. The listener removes the folders, and then
        # ends this process.
        listener.join(REMOVAL_S)
        raise


class _Running:
    """What the thread that listens to the parent knows of the work."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self.scratch: str | None = None
        self._checkpoints: Checkpoints | None = None
        self._is_stopped = False
        self._changing = threading.Lock()

    def begin(self, checkpoints: Checkpoints) -> None:
        """A task begins; it may have been asked to stop already."""
        with self._changing:
            self._checkpoints = checkpoints
            if self._is_stopped:
                checkpoints.stop(self.end)

    def stop(self) -> None:
        """Stop the work where it is, or when it begins."""
        with self._changing:
            self._is_stopped = True
            if self._checkpoints is not None:
                self._checkpoints.stop(self.end)
            elif self.scratch is None:
                os._exit(0)

    def end(self) -> None:
        """The work has stopped."""
        self.emit({"event": "stopped", "piece": self._checkpoints and self._checkpoints.last_saved})
        os._exit(0)  # TensorFlow's own end takes a while and has nothing left to do


def _carry_out(task: Task, running: _Running) -> None:
    """Carry out a task, and report its result."""
    _use_scratch(task.scratch)
    journal = Journal(running.emit)
    checkpoints = Checkpoints(Path(task.checkpoints), journal, task.save_every_s)
    running.begin(checkpoints)
    last = _work(task, journal, checkpoints)
    if last is None:
        running.end()
    else:
        running.emit(last)
    _release_model()


def _use_scratch(folder: str) -> None:
    """Have libraries write their temporary files there."""
    tempfile.tempdir = folder
    os.environ["TMPDIR"] = folder


def _release_model() -> None:
    """Release the memory of the model and its graphs, which the next task has no use for."""
    keras = sys.modules.get("tf_keras")
    if keras is not None:
        keras.backend.clear_session()
    gc.collect()


def _work(task: Task, journal: Journal, checkpoints: Checkpoints) -> Event | None:
    """The last event: the result or the error; None where the work was asked to stop, and has."""
    try:
        judged = _scan(task, journal)
        result = WORK[task.kind](task, judged, journal, checkpoints)
        return {"event": "work_result", "result": result.model_dump(mode="json")}
    except StoppedError:
        return None
    except (Exception, MemoryError) as error:  # noqa: BLE001 - the parent must learn of any error
        with contextlib.suppress(OSError):  # the log may be on a full disk
            traceback.print_exc()
        return error_event(error, task.scratch)


def _scan(task: Task, journal: Journal) -> Judged:
    """Judge the model before TensorFlow is imported, in which its code could run."""
    with journal.stage("scan") as stage:
        from job.safety.judge import judge, refuse_dangers
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
            for danger in judged.dangers:
                journal.warn(
                    f"model.trust let code of the model run, in {danger.layer}: {danger.what}"
                )
        return judged


def _transform(
    task: Task, judged: Judged, journal: Journal, checkpoints: Checkpoints
) -> WorkResult:
    with journal.stage("import"):
        _import_tensorflow()
    from job.worker.transform import transform

    assert task.manifest is not None  # of a task that transforms
    files = _files(task, judged)
    return transform(task.manifest, files, checkpoints, journal)


def _inspect(task: Task, judged: Judged, journal: Journal, _: Checkpoints) -> InspectedModel:
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

    found = examine(judged, journal, try_variants=task.variants)
    if task.manifest is None:
        return found
    from job.worker import sensitivity

    files = _files(task, judged)
    measured = sensitivity.inspect(task.manifest, files, journal)
    warnings = list(dict.fromkeys([*found.warnings, *journal.warnings]))
    return found.model_copy(update={"sensitivity": measured, "warnings": warnings})


def _files(task: Task, judged: Judged) -> Files:
    from job.worker.context import Files

    return Files(judged, PathsAsText(task.datasets), Path(task.output), Path(task.scratch) / "rows")


WORK: dict[str, Callable[[Task, Judged, Journal, Checkpoints], WorkResult | InspectedModel]] = {
    "transform": _transform,
    "inspect": _inspect,
}


def _import_tensorflow() -> None:
    """Import what needs TensorFlow, with the garbage collector off: importing makes many objects
    that stay, which it would scan again and again, then and during the whole run.
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


def _listen(running: _Running, own: str) -> None:
    """Listen to the parent: tasks, the request to stop, and the end of standard input. That comes
    when the parent is gone, which would have removed this process's own folder and the task's.

    Args:
        running: The work.
        own: The process's own folder; of a batch, the one that holds those of all jobs, including
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
