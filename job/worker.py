"""The child process: started, watched, replaced. A death is an event, not an end.

TensorFlow takes seconds to import, can take its process down with it, and reads files that
strangers wrote. So it runs in a child, which has no credentials in its environment, and the
parent is still there to say what happened when the child is not.

The task goes to the child's standard input as one line of JSON, which then stays open: the
line ``stop`` tells the child to save what it is doing, the end that the parent is gone. Events come
back on the child's standard output, a line each; whatever TensorFlow prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from job import machine
from job.child import STOP, Task
from job.crash import CRASHED, Crash, begin_anew, earlier_crash
from job.errors import (
    BY_NAME,
    BugError,
    InputError,
    InterruptedRunError,
    ParedownError,
    StageError,
    from_os_error,
)
from job.progress import Emit, Event
from job.work.kept import read_index

# Least rights: what the child needs to run, by name. A prefix would let credentials in (TF_VAR_...
# and TF_TOKEN_... are Terraform's).
ENVIRONMENT = frozenset(
    """
    PATH HOME LANG LC_ALL LC_CTYPE TZ LD_LIBRARY_PATH VIRTUAL_ENV PYTHONPATH PYTHONHOME
    PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE
    TF_ENABLE_ONEDNN_OPTS TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS TF_XLA_FLAGS XLA_FLAGS
    TF_FORCE_GPU_ALLOW_GROWTH TF_GPU_ALLOCATOR CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES
    ONEDNN_MAX_CPU_ISA OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)

# How many threads TensorFlow's libraries start.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
# oneDNN's convolution gradient crashes on AVX-512 machines for some shapes (a 1x1 kernel with
# stride 2); with AVX2 it does not, at 1.2 times the time.
SAFER = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
# What the child does before its first stage.
STARTING = "start"
# Here files are read that strangers made, by libraries that damaged files are known to crash.
READING = ("scan", "load")
# TensorFlow was given so much time to make a model of a file, and no more.
OUT_OF_TIME = signal.SIGXCPU
# How long a child may take, after an interruption, to save a training (seconds).
GRACE_S = 20.0
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


@dataclass(frozen=True)
class _Death:
    signal: int
    stage: str


def run(task: Task, emit: Emit, *, verbose: bool, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Do a task in a child process; a child that crashes is tried once more with AVX2.

    Args:
        task: What to do.
        emit: Is given the child's events.
        verbose: Whether TensorFlow's own messages are shown.
        grace_s: How long, in seconds, a run that is interrupted waits for its child to stop.

    Returns:
        The child's result, as JSON; its ``warnings`` say what became of a first child.

    Raises:
        ParedownError: What the child raised; or a StageError where it died twice, or was killed;
            or an InputError where it died while it read the model.
        InterruptedRunError: Where one was raised meanwhile. The child was told to stop; ``emit``
            was given the event ``kept`` for all that it kept.
    """
    child = partial(_attempt, task, emit, verbose=verbose, grace_s=grace_s)
    crash = earlier_crash(task)
    if crash is None:
        first = child(settings={})
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
    second = child(settings=SAFER)
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
        + _last_words(Path(task.scratch) / "worker.log"),
    )


def _crashed(task: Task, death: _Death, emit: Emit) -> Crash:
    message = (
        f"The worker process died in stage {death.stage} ({_name(death.signal)}), which TensorFlow "
        "is known to do on CPUs with AVX-512; it is tried once more with ONEDNN_MAX_CPU_ISA=AVX2."
    )
    emit({"event": "child_died", "stage": death.stage, "message": message})
    crash = Crash(message=message, stage=death.stage, signal=death.signal)
    try:
        begin_anew(task, crash)
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
    task: Task, emit: Emit, *, settings: dict[str, str], verbose: bool, grace_s: float
) -> dict[str, Any] | _Death:
    """Run one child to its end, however it ends."""
    log = Path(task.scratch) / "worker.log"
    try:
        child = _start(task, log, settings, verbose=verbose)
    except OSError as error:
        raise from_os_error(error, "Starting the worker process", writing=True) from None
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        return _follow(child, task, emit, log)
    except InterruptedRunError:
        _stop(child, task, emit, grace_s)
        raise
    finally:
        child.kill()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        child.wait()


def _follow(
    child: subprocess.Popen[bytes], task: Task, emit: Emit, log: Path
) -> dict[str, Any] | _Death:
    """Hand on a child's events until it ends."""
    stage = STARTING
    _say(child, json.dumps(asdict(task)))
    for event in _events(child):
        match event["event"]:
            case "work_result":
                result: dict[str, Any] = event["result"]
                return result
            case "work_error":
                raise _from_event(event)
            case "stage_started":
                stage = event["stage"]
        emit(event)
    status = child.wait()
    if status < 0:
        return _Death(-status, stage)
    raise BugError(
        f"The worker process ended in stage {stage} with status {status}, and did not say why.",
        hint=f"Its last words: {_last_words(log)}",
    )


def _stop(child: subprocess.Popen[bytes], task: Task, emit: Emit, grace_s: float) -> None:
    """Let a child end: it saves a training that it is in the middle of.

    The signal may have come while an event was read or handed on. So a part of a line is passed
    over, and at the end one more event says what was kept last.
    """
    deadline = threading.Timer(grace_s, child.kill)
    deadline.start()
    try:
        _say(child, STOP.strip())
        for event in _events(child):
            if event["event"] == "kept":
                emit(event)
    finally:
        deadline.cancel()
    with contextlib.suppress(ValueError, OSError):  # nothing is kept then
        for piece in list(read_index(Path(task.kept)).pieces)[-1:]:
            emit({"event": "kept", "piece": piece})


def _say(child: subprocess.Popen[bytes], line: str) -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is dead already; of what, is told elsewhere
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()


def _events(child: subprocess.Popen[bytes]) -> Iterator[Event]:
    """What a child says, until it ends; what is no event in whole is passed over."""
    assert child.stdout is not None
    for line in child.stdout:
        with contextlib.suppress(ValueError):  # it died while it wrote, or reading was interrupted
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


def _start(
    task: Task, log: Path, settings: dict[str, str], *, verbose: bool
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stderr:
        return subprocess.Popen(  # noqa: S603 - this Python, and nothing of the user's
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else stderr,
            env=_environment(task.scratch, verbose=verbose) | settings,
            start_new_session=True,  # Ctrl-C is for the parent to handle
        )


def _command() -> list[str]:
    """Python without the current folder on its path (a ``numpy.py`` may lie there)."""
    code = "import sys; sys.path.append(sys.argv[1]); from job.child import main; main()"
    return [sys.executable, "-P", "-c", code, str(Path(__file__).parent.parent)]


def _environment(scratch: str, *, verbose: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    # TensorFlow takes the machine's cores, and a container's quota does not allow for them.
    threads = {} if machine.cores() == os.cpu_count() else dict.fromkeys(THREADS, machine.cores())
    return (
        {name: str(value) for name, value in threads.items()}
        | kept
        | {
            "PYTHONHASHSEED": "0",
            "TF_CPP_MIN_LOG_LEVEL": "0" if verbose else "3",
            "TF_USE_LEGACY_KERAS": "1",
            "TMPDIR": scratch,  # TensorFlow leaves files behind when it is killed
            "KERAS_HOME": scratch,  # a user's keras.json changes what layers do; one is made, too
        }
    )


def _from_event(event: Event) -> ParedownError:
    return BY_NAME[event["error"]](event["what"], where=event["where"], hint=event["hint"])


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "none."
