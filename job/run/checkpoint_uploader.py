"""Uploads the child's checkpoints to the destination, in the background.

The training's state goes there at once, since it is saved at an interval already; other checkpoints
when that interval is over. A short run that is not disturbed uploads nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from job.errors import InterruptedRunError, ParedownError
from job.events import Event
from job.manifest.storage import ResumeConfig
from job.resume import transfer
from job.resume.index import INDEX_FILE
from job.run.job_run import JobRun
from job.storage.destination import Destination

AT_ONCE = "training"


@contextlib.contextmanager
def checkpointed(run: JobRun, run_id: str, folder: Path) -> Iterator[CheckpointUploader | None]:
    """Restore an earlier run's checkpoints into a folder, and upload those of this run."""
    folder.mkdir()
    resume = run.job.resume
    if resume is None:
        yield None
        return
    for reason in run.destination.restore(run_id, folder):
        run.journal.warn(f"What an earlier run has kept can't be used, {reason}")
    warn = run.progress.warn
    with CheckpointUploader(run.destination, run_id, folder, resume, warn) as uploader:
        yield uploader


class CheckpointUploader:
    """A context; where it is left by an error, the checkpoints so far are uploaded."""

    def __init__(
        self,
        destination: Destination,
        run_id: str,
        folder: Path,
        config: ResumeConfig,
        warn: Callable[[str], None],
    ) -> None:
        """Upload nothing yet.

        Args:
            destination: Where checkpoints go.
            run_id: The run that they belong to.
            folder: The folder that the child saves them in.
            config: How often, and how long an interrupted run may take for it.
            warn: Is called once, where uploading fails. The run goes on.
        """
        self._destination = destination
        self._run_id = run_id
        self._folder = folder
        self._every_s = config.save_every_s
        # The other half is the child's.
        self._grace_s = config.grace_s / 2
        self._warn = warn
        self._has_failed = False
        self._is_new = False
        self._is_urgent = False
        self._is_over = False
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def notice(self, event: Event) -> None:
        """Take note of the child's event that a checkpoint was saved."""
        if event["event"] == "kept" and (self._folder / INDEX_FILE).exists():
            with self._changed:
                self._is_new = True
                self._is_urgent |= str(event["piece"]).startswith(AT_ONCE)
                self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._is_urgent = self._is_new and error is not None
            self._changed.notify()
        # What is not uploaded within the grace is lost, and nothing else.
        is_interrupted = isinstance(error, InterruptedRunError)
        self._thread.join(self._grace_s if is_interrupted else None)

    def _work(self) -> None:
        while self._wait():
            try:
                with tempfile.TemporaryDirectory(dir=self._folder.parent) as now:
                    if transfer.snapshot(self._folder, Path(now)):
                        self._destination.keep(self._run_id, Path(now))
            except (ParedownError, OSError) as error:
                if not self._has_failed:
                    self._warn(f"What is done can't be kept for another run: {error}")
                self._has_failed = True
            self._last = time.monotonic()

    def _wait(self) -> bool:
        """Wait until there is something to upload, and it is time; False at the end."""
        with self._changed:
            while not self._is_urgent:
                if self._is_over:
                    return False
                left = self._last + self._every_s - time.monotonic()
                if self._is_new and left <= 0:
                    break
                self._changed.wait(left if self._is_new else None)
            self._is_new = self._is_urgent = False
            return True
