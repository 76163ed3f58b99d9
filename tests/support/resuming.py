"""Jobs that are stopped in the middle, by the parent or by somebody else."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job.errors import InterruptedRunError, StageError
from job.events import Event
from job.resume.index import read_index
from job.run import supervisor
from job.worker.protocol import Task
from tests.support.runs import children


def workers() -> list[int]:
    """The worker processes of this one, which has started a store as well."""
    found = children(os.getpid())
    return [it for it in found if b"job.worker.main" in Path(f"/proc/{it}/cmdline").read_bytes()]


@dataclass
class Ran:
    """A run of the child, and what it left."""

    task: Task
    events: list[Event] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    seconds_to_end: float = 0.0
    """From the disturbance to the end."""

    @property
    def kept(self) -> Path:
        return Path(self.task.checkpoints)

    @property
    def pieces(self) -> set[str]:
        return set(read_index(self.kept).pieces)

    @property
    def made(self) -> list[str]:
        """The checkpoints that were saved, in their order, each once."""
        named = [event["piece"] for event in self.events if event["event"] == "kept"]
        return [name for name in dict.fromkeys(named) if name]

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path(self.task.output).iterdir()}

    def warnings(self) -> list[str]:
        return [event["message"] for event in self.events if event["event"] == "warning"]


def run(
    manifest: dict[str, Any],
    folder: Path,
    *,
    kept: Path | None = None,
    disturb: Callable[[Event], bool] = lambda _: False,
    by: Callable[[], None] = lambda: None,
    save_every_s: float = 60.0,
    grace_s: float = 20.0,
) -> Ran:
    """Run the child to its end, or disturb it where ``disturb`` says; never its files."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "output").mkdir(parents=True)
    if kept is None:
        (folder / "checkpoints").mkdir()
    else:
        shutil.copytree(kept, folder / "checkpoints")
    model = manifest["model"]["uri"]
    task = Task(
        kind="transform",
        model=model,
        model_name=model,
        model_bytes=Path(model).stat().st_size,
        output=str(folder / "output"),
        scratch=str(folder),
        checkpoints=str(folder / "checkpoints"),
        save_every_s=save_every_s,
        manifest=manifest,
        datasets={Path(manifest["dataset"]["uri"]).name: manifest["dataset"]["uri"]},
    )
    ran = Ran(task)
    disturbed = 0.0

    def emit(event: Event) -> None:
        nonlocal disturbed
        ran.events.append(event)
        if not disturbed and disturb(event):
            disturbed = time.monotonic()
            by()

    try:
        ran.result = supervisor.run(task, emit, supervisor.OnlyChild(verbose=False), grace_s)
    except (StageError, InterruptedRunError) as error:
        ran.error = error
    ran.seconds_to_end = time.monotonic() - disturbed
    return ran


def kill() -> None:
    """As the kernel does when memory is short, or a node goes away."""
    (child,) = workers()
    os.kill(child, signal.SIGKILL)


def interrupt() -> None:
    """As the parent's signal handler does."""
    raise InterruptedRunError(signal.SIGTERM)


def begins(stage: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == "stage_started" and event["stage"] == stage


def keeps(piece: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == "kept" and event["piece"] == piece
