"""Copies what the child process keeps to the destination, in the background.

The training's state goes there at once, since it is saved at an interval already; other pieces when
that interval is over. A short run that is not disturbed writes nothing.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from job.errors import InterruptedRunError, ParedownError
from job.events import Event
from job.manifest.storage import ResumeConfig
from job.storage import kept
from job.storage.destination import Destination
from job.storage.kept import INDEX

AT_ONCE = "training"


class Keeper:
    """To be used as a context; a run that ends in an error leaves what is kept so far there."""

    def __init__(
        self,
        destination: Destination,
        run_id: str,
        folder: Path,
        config: ResumeConfig,
        warn: Callable[[str], None],
    ) -> None:
        """Keep nothing yet.

        Args:
            destination: Where it goes.
            run_id: Whose it is.
            folder: The folder that the child keeps things in.
            config: How often, and how long an interrupted run may take for it.
            warn: Is told, once, where keeping fails. The run goes on.
        """
        self._destination = destination
        self._run_id = run_id
        self._folder = folder
        self._every_s = config.save_every_s
        # The other half is the child's.
        self._grace_s = config.grace_s / 2
        self._warn = warn
        self._failed = False
        self._is_new = False
        self._is_urgent = False
        self._is_over = False
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def hear(self, event: Event) -> None:
        """Take note of the child's event that something more is kept."""
        if event["event"] == "kept" and (self._folder / INDEX).exists():
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
        # What does not get there within the grace is lost, and nothing else.
        is_interrupted = isinstance(error, InterruptedRunError)
        self._thread.join(self._grace_s if is_interrupted else None)

    def _work(self) -> None:
        while self._wait():
            try:
                with tempfile.TemporaryDirectory(dir=self._folder.parent) as now:
                    if kept.snapshot(self._folder, Path(now)):
                        self._destination.keep(self._run_id, Path(now))
            except (ParedownError, OSError) as error:
                if not self._failed:
                    self._warn(f"What is done can't be kept for another run: {error}")
                self._failed = True
            self._last = time.monotonic()

    def _wait(self) -> bool:
        """Wait until there is something to copy, and it is time; False at the end."""
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
