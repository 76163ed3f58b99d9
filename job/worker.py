"""The child process: started, watched, replaced. A death is an event, not an end.

TensorFlow takes seconds to import, can take its process down with it, and reads files that
strangers wrote. So it runs in a child, which has no credentials in its environment, and the
parent is still there to say what happened when the child is not.

The task goes to the child's standard input as one line of JSON, which then stays open: its end
tells the child that the parent is gone. Events come back on the child's standard output, a line
each; whatever TensorFlow prints goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from job.errors import (
    BY_NAME,
    BugError,
    ParedownError,
    StageError,
    from_os_error,
    is_disk_full,
)
from job.progress import Emit, Event, Journal
from job.result import WorkResult

# Least rights: what the child needs to run, and nothing that could be a credential.
ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
ENVIRONMENT_PREFIXES = ("LC_", "PYTHON", "TF_", "XLA_", "ONEDNN_", "OMP_", "OPENBLAS_", "CUDA_")

# oneDNN's convolution gradient crashes on AVX-512 machines for some shapes (a 1x1 kernel with
# stride 2); with AVX2 it does not, at 1.2 times the time.
SAFER = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
# The stage before the first one of the child's own: it imports TensorFlow.
STARTING = "start"
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


@dataclass(frozen=True)
class Task:
    """What the child is to do: the manifest, and local paths."""

    manifest: dict[str, Any]
    model: str
    """The model file."""
    dataset: str
    """The data set's file."""
    output: str
    """An empty folder for what is made."""
    scratch: str
    """The folder that holds ``output``; gone when the run is over, however it ends."""


@dataclass(frozen=True)
class _Death:
    signal: int
    stage: str


def run(task: Task, emit: Emit, *, verbose: bool) -> WorkResult:
    """Do a task in a child process; a child that crashes is tried once more with AVX2.

    Args:
        task: What to do.
        emit: Is given the child's events.
        verbose: Whether TensorFlow's own messages are shown.

    Raises:
        ParedownError: What the child raised; or a StageError where it died twice, or was killed.
    """
    first = _attempt(task, emit, {}, verbose=verbose)
    if isinstance(first, WorkResult):
        return first
    if first.signal not in CRASHES:
        raise _killed(first)
    message = (
        f"The worker process died in stage {first.stage} ({_name(first.signal)}), which TensorFlow "
        "is known to do on CPUs with AVX-512; it is tried once more with ONEDNN_MAX_CPU_ISA=AVX2."
    )
    emit({"event": "child_died", "stage": first.stage, "message": message})
    shutil.rmtree(task.output)
    Path(task.output).mkdir()
    second = _attempt(task, emit, SAFER, verbose=verbose)
    if isinstance(second, WorkResult):
        return second.model_copy(update={"warnings": [message, *second.warnings]})
    if second.signal not in CRASHES:
        raise _killed(second)
    raise StageError(
        f"The worker process died twice: in stage {first.stage} ({_name(first.signal)}), and with "
        f"ONEDNN_MAX_CPU_ISA=AVX2 in stage {second.stage} ({_name(second.signal)}).",
        where=f"stage {second.stage}",
        hint="TensorFlow crashes on this model; --verbose shows its last words.",
    )


def _finished(stage: str, seconds: float) -> Event:
    return {"event": "stage_finished", "stage": stage, "seconds": round(seconds, 3)}


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
    task: Task, emit: Emit, settings: dict[str, str], *, verbose: bool
) -> WorkResult | _Death:
    """Run one child to its end, however it ends."""
    log = Path(task.scratch) / "worker.log"
    stage = STARTING
    started = time.perf_counter()
    emit({"event": "stage_started", "stage": stage})
    with log.open("ab") as stderr:
        child = subprocess.Popen(  # noqa: S603 - this Python, and nothing of the user's
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else stderr,
            env=_environment(task.scratch, verbose=verbose) | settings,
            start_new_session=True,  # Ctrl-C is for the parent to handle
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        try:
            child.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead already; what it died of is told below
        for line in child.stdout:
            if not line.endswith(b"\n"):
                break  # it died while it wrote
            event: Event = json.loads(line)
            match event["event"]:
                case "work_result":
                    return WorkResult.model_validate(event["result"])
                case "work_error":
                    raise _from_event(event)
                case "stage_started":
                    if stage == STARTING:
                        emit(_finished(stage, time.perf_counter() - started))
                    stage = event["stage"]
            emit(event)
        status = child.wait()
        if status < 0:
            return _Death(-status, stage)
        raise BugError(
            f"The worker process ended in stage {stage} with status {status}, and did not say why.",
            hint=f"Its last words: {_last_words(log)}",
        )
    finally:
        child.kill()
        child.stdin.close()
        child.stdout.close()
        child.wait()


def _command() -> list[str]:
    """Python without the current folder on its path (a ``numpy.py`` may lie there)."""
    code = "import sys; sys.path.append(sys.argv[1]); from job.worker import main; main()"
    return [sys.executable, "-P", "-c", code, str(Path(__file__).parent.parent)]


def _environment(scratch: str, *, verbose: bool) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name.startswith(ENVIRONMENT_PREFIXES)
    }
    return kept | {
        "PYTHONHASHSEED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "0" if verbose else "3",
        "TF_USE_LEGACY_KERAS": "1",
        "TMPDIR": scratch,  # TensorFlow leaves files behind when it is killed
    }


def _from_event(event: Event) -> ParedownError:
    return BY_NAME[event["error"]](event["what"], where=event["where"], hint=event["hint"])


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "none."


# --- the child's side ---------------------------------------------------------------------------


def main() -> None:
    """What the child runs: one task, its events on what was standard output."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever prints to standard output from here on is chatter
    task = Task(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, args=(task,), daemon=True).start()

    def emit(event: Event) -> None:
        events.write(json.dumps(event) + "\n")

    emit(_work(task, emit))
    events.flush()
    os._exit(0)  # TensorFlow's own end takes a while and has nothing left to do


def _work(task: Task, emit: Emit) -> Event:
    try:
        transform = _import_transform()
        result = transform(
            task.manifest, task.model, task.dataset, Path(task.output), Journal(emit)
        )
        return {"event": "work_result", "result": result.model_dump(mode="json")}
    except ParedownError as error:
        return _error_event(error)
    except MemoryError:
        return _error_event(
            StageError(
                "The worker process ran out of memory.",
                hint="Give the job more memory, or lower training.batch_size.",
            )
        )
    except Exception as error:  # noqa: BLE001 - the last resort: the parent must be told whatever it is
        traceback.print_exc()
        if isinstance(error, OSError) or is_disk_full(error):
            return _error_event(from_os_error(error, "Writing to scratch", writing=True))
        place = traceback.extract_tb(error.__traceback__)[-1]
        return _error_event(
            BugError(
                f"{type(error).__name__}: {str(error)[:500]}",
                where=f"{Path(place.filename).name}, line {place.lineno}",
                hint="This is a bug in paredown: please report it with the output of --verbose.",
            )
        )


def _import_transform() -> Callable[..., WorkResult]:
    """Import what needs TensorFlow, with the garbage collector out of the way: importing makes
    many objects that stay, which it would look at again and again, then and in all the run.
    """
    gc.disable()
    from job.transform import transform

    gc.freeze()
    gc.enable()
    return transform


def _error_event(error: ParedownError) -> Event:
    return {
        "event": "work_error",
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
    }


def _end_with_parent(task: Task) -> None:
    """Wait for the end of standard input, which comes when the parent is gone, and end."""
    sys.stdin.read()
    shutil.rmtree(task.scratch, ignore_errors=True)
    os._exit(1)
