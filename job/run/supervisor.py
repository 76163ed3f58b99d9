"""The child process: started, watched, replaced. A death is an event, not an end.

TensorFlow takes seconds to import, can crash its process, and reads untrusted files. So it runs in
a child, which has no credentials in its environment, and the parent can report what happened.

A single job has a child of its own; the jobs of a batch share a few, one after another, which keep
TensorFlow imported. See ``process.py`` for how they are started and given tasks.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from job.errors import BugError, InputError, InterruptedRunError, StageError, from_os_error
from job.events import Emit
from job.result.record import Record
from job.resume.index import Checkpoint, Index, read_index, write_index
from job.run.process import Child
from job.worker.protocol import Task, error_of

# oneDNN's convolution gradient crashes on AVX-512 machines for some shapes (a 1x1 kernel with
# stride 2); with AVX2 it does not, at 1.2 times the time.
SAFER = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
# The name of the checkpoint of a crash, which holds no work.
CRASHED = "crashed"
# What the child does before its first stage.
STARTING = "start"
# Untrusted files are read here, by libraries that damaged files are known to crash.
READING = ("scan", "load")
# TensorFlow was given so much time to make a model of a file, and no more.
OUT_OF_TIME = signal.SIGPROF
# How long a child may take, after an interruption, to save a training (seconds).
GRACE_S = 20.0
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class Crash(Record):
    """How a child ended, recorded beside the checkpoints of the next one."""

    message: str
    """What was reported to the user."""
    stage: str
    signal: int


@dataclass(frozen=True)
class _Death:
    signal: int
    stage: str
    last_words: str


class Children(Protocol):
    """Where children come from."""

    @property
    def folder(self) -> Path | None:
        """Where the tasks' scratch folders are to be; None for TMPDIR."""

    @property
    def waited_s(self) -> float:
        """Seconds that tasks have waited until a child was free."""

    def child(self, task: Task, settings: dict[str, str]) -> AbstractContextManager[Child]:
        """A child for a task, with these variables in its environment."""


@dataclass(frozen=True)
class OnlyChild:
    """A child of its own for each task, which ends with it."""

    verbose: bool
    folder: Path | None = None
    waited_s: float = 0.0

    @contextlib.contextmanager
    def child(self, task: Task, settings: dict[str, str]) -> Iterator[Child]:
        """Start one."""
        child = Child(Path(task.scratch), settings, verbose=self.verbose)
        with contextlib.closing(child):
            yield child


def run(task: Task, emit: Emit, children: Children, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Do a task in a child process; where that crashes, it is tried once more with AVX2.

    Args:
        task: What to do.
        emit: Receives the child's events.
        children: Where the child comes from.
        grace_s: How long, in seconds, a run that is interrupted waits for its child to stop.

    Returns:
        The child's result, as JSON; its ``warnings`` report the crash of a first child.

    Raises:
        ParedownError: What the child raised; or a StageError where it died twice, or was killed;
            or an InputError where it died while it read the model.
        InterruptedRunError: Where one was raised meanwhile. The child was asked to stop; ``emit``
            was given the event ``kept`` for every checkpoint.
    """
    crash = _earlier_crash(task)
    if crash is None:
        first = _attempt(task, emit, children, {}, grace_s)
        if not isinstance(first, _Death):
            return first
        # TensorFlow has no part in the scan, so AVX2 changes nothing there.
        if (first.stage == "scan" and first.signal in CRASHES) or first.signal == OUT_OF_TIME:
            raise _unreadable(task, first)
        if first.signal not in CRASHES:
            raise _killed(first)
        crash = _crashed(task, first, emit)
    else:
        emit({"event": "warning", "message": crash.message})
    second = _attempt(task, emit, children, SAFER, grace_s)
    if not isinstance(second, _Death):
        return second | {"warnings": [crash.message, *second.get("warnings", [])]}
    if second.signal == OUT_OF_TIME or (second.stage in READING and second.signal in CRASHES):
        raise _unreadable(task, second)
    if second.signal not in CRASHES:
        raise _killed(second)
    raise StageError(
        f"The worker process died twice: in stage {crash.stage} ({_name(crash.signal)}), and with "
        f"ONEDNN_MAX_CPU_ISA=AVX2 in stage {second.stage} ({_name(second.signal)}).",
        where=f"stage {second.stage}",
        hint="TensorFlow crashes on this model, or there is too little memory. Its last words: "
        + second.last_words,
    )


def _earlier_crash(task: Task) -> Crash | None:
    """The crash of an earlier run of this job, if there was one."""
    with contextlib.suppress(ValueError, OSError):  # the child warns of an index that is damaged
        checkpoint = read_index(Path(task.checkpoints)).pieces.get(CRASHED)
        return Crash.model_validate(checkpoint.record) if checkpoint else None
    return None


def _crashed(task: Task, death: _Death, emit: Emit) -> Crash:
    message = (
        f"The worker process died in stage {death.stage} ({_name(death.signal)}), which TensorFlow "
        "is known to do on CPUs with AVX-512; it is tried once more with ONEDNN_MAX_CPU_ISA=AVX2."
    )
    emit({"event": "child_died", "stage": death.stage, "message": message})
    crash = Crash(message=message, stage=death.stage, signal=death.signal)
    checkpoint = Checkpoint(record=crash.model_dump())
    try:
        # What is computed with AVX2 has other last digits than what is computed without, so the two
        # never mix; a later run of the same job begins with AVX2.
        for folder in (task.output, task.checkpoints):
            shutil.rmtree(folder)
            Path(folder).mkdir()
        write_index(Path(task.checkpoints), Index(pieces={CRASHED: checkpoint}))
    except OSError as error:
        raise from_os_error(error, "Writing to scratch", writing=True) from None
    emit({"event": "kept", "piece": CRASHED})
    return crash


def _unreadable(task: Task, death: _Death) -> InputError:
    return InputError(
        f"Reading the model ended the worker process ({_name(death.signal)}, stage "
        f"{death.stage}): the file is damaged, or made to take all memory or time.",
        where=task.model_name,
        hint="Load the model where it was trained, and save it again.",
    )


def _name(number: int) -> str:
    return signal.Signals(number).name


def _killed(death: _Death) -> StageError:
    if death.signal == signal.SIGKILL:
        return StageError(
            f"The worker process was killed in stage {death.stage}: most likely it ran out of "
            "memory.",
            where=f"stage {death.stage}",
            hint="Give the job more memory, or lower training.batch_size.",
        )
    return StageError(
        f"The worker process was ended by {_name(death.signal)} in stage {death.stage}.",
        where=f"stage {death.stage}",
        hint="Somebody else stopped it; run the job again.",
    )


def _attempt(
    task: Task, emit: Emit, children: Children, settings: dict[str, str], grace_s: float
) -> dict[str, Any] | _Death:
    """Have one child do the task, however that ends."""
    with children.child(task, settings) as child:
        try:
            return _follow(child, task, emit)
        except InterruptedRunError:
            _stop(child, task, emit, grace_s)
            raise


def _follow(child: Child, task: Task, emit: Emit) -> dict[str, Any] | _Death:
    """Hand on a child's events until the task is done, or the child ends."""
    stage = STARTING
    child.give(task)
    for event in child.events():
        match event["event"]:
            case "work_result":
                result: dict[str, Any] = event["result"]
                return result
            case "work_error":
                raise error_of(event)
            case "stopped":
                raise InterruptedRunError(signal.SIGTERM)
            case "stage_started":
                stage = event["stage"]
        emit(event)
    status = child.wait()
    if child.verdict is not None:
        child.verdict.where = f"stage {stage}"
        raise child.verdict
    if status < 0:
        return _Death(-status, stage, child.last_words())
    raise BugError(
        f"The worker process ended in stage {stage} with status {status}, and did not say why.",
        hint=f"Its last words: {child.last_words()}",
    )


def _stop(child: Child, task: Task, emit: Emit, grace_s: float) -> None:
    """Have a child save the training that it is in the middle of, and end.

    The signal may have come while an event was read or handed on. So a part of a line is skipped,
    and at the end one more event reports the last checkpoint.
    """
    deadline = threading.Timer(grace_s, child.kill)
    deadline.start()
    try:
        child.stop()
        for event in child.events():
            if event["event"] == "kept":
                emit(event)
    finally:
        deadline.cancel()
    with contextlib.suppress(ValueError, OSError):  # nothing is restored then
        for name in list(read_index(Path(task.checkpoints)).pieces)[-1:]:
            emit({"event": "kept", "piece": name})
