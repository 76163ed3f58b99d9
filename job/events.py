"""What a run reports while it works, as events; the child process also records it for the result.

The report of a part of the work is saved in its checkpoint, and replayed when that is restored.

events: batch_started, job_failed, batch_finished, run_started, stage_started, progress,
stage_finished, stage_skipped, stage_resumed (``what`` was restored), kept (the checkpoint ``piece``
was saved), trial_started (of a search, with its settings), warning, child_died, run_finished,
run_failed, error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from job.result.record import Record
from job.result.result import StageResult

Event = dict[str, Any]
Emit = Callable[[Event], None]

# Progress is sent at most this often (seconds).
SEND_EVERY_S = 0.1


class Report(Record):
    """What was reported while a part of the work was done."""

    seconds: float
    """How long it took, without ``stages``."""
    decisions: list[str] = Field(default=[])
    """Of the stage that was running."""
    stages: list[StageResult] = Field(default=[])
    """The stages that ran meanwhile."""
    warnings: list[str] = Field(default=[])


@dataclass
class Stage:
    """A running stage: what was decided in it, and how far it is."""

    name: str
    emit: Emit
    decisions: list[str] = field(default_factory=list)
    earlier_s: float = 0.0
    """Seconds that earlier runs spent on what was restored."""
    seconds: float = 0.0
    _sent: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def decide(self, *texts: str) -> None:
        """Record decisions and their reasons."""
        self.decisions.extend(texts)

    def advance(self, done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        """Report progress: ``done`` of ``total`` parts, and the current metrics."""
        now = time.monotonic()
        if done < total and now - self._sent < SEND_EVERY_S:
            return
        self._sent = now
        shown = {name: round(value, 6) for name, value in (metrics or {}).items()}
        self.emit({"event": "progress", "stage": self.name, "done": done, "total": total, **shown})

    def resumed(self, what: str) -> None:
        """Record that a part of the stage was restored."""
        self.decide(what)
        self.emit({"event": "stage_resumed", "stage": self.name, "what": what})

    def elapsed(self) -> float:
        """The stage's seconds so far, with those of earlier runs."""
        return self.earlier_s + time.perf_counter() - self._started

    def finish(self) -> None:
        """Stop the clock, and emit the decisions."""
        self.seconds = self.elapsed()
        earlier = {"earlier_s": round(self.earlier_s, 3)} if self.earlier_s else {}
        self.emit(
            {
                "event": "stage_finished",
                "stage": self.name,
                "seconds": round(self.seconds, 3),
                **earlier,
                "decisions": self.decisions,
            }
        )


class Journal:
    """Records stages and warnings, and emits them as events as they happen."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.stages: list[Stage] = []
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Run a stage: announced, timed, and reported with its decisions at its end."""
        stage = self._begin(name)
        yield stage
        stage.finish()

    def _begin(self, name: str) -> Stage:
        stage = Stage(name, self.emit)
        self.stages.append(stage)
        self.emit({"event": "stage_started", "stage": name})
        return stage

    def skip(self, name: str, reason: str) -> None:
        """Record that a stage is not run, and why."""
        self.stages.append(Stage(name, self.emit, [f"skipped: {reason}"]))
        self.emit({"event": "stage_skipped", "stage": name, "reason": reason})

    def warn(self, *texts: str) -> None:
        """Record warnings."""
        for text in texts:
            self.warnings.append(text)
            self.emit({"event": "warning", "message": text})

    def warn_first(self, text: str) -> None:
        """Record a warning before all others; not while a report is recorded."""
        self.warnings.insert(0, text)
        self.emit({"event": "warning", "message": text})

    def results(self, first: int = 0) -> list[StageResult]:
        """The stages from the ``first`` on, as they are in the result."""
        return [
            StageResult(name=it.name, seconds=round(it.seconds, 3), decisions=it.decisions)
            for it in self.stages[first:]
        ]

    @contextlib.contextmanager
    def recorded(self, stage: Stage | None) -> Iterator[list[Report]]:
        """Record what is reported: the list has one report when the context is left.

        Args:
            stage: The running stage; None where whole stages are recorded.
        """
        stages, warnings, started = len(self.stages), len(self.warnings), time.perf_counter()
        decisions = len(stage.decisions) if stage else 0
        reports: list[Report] = []
        yield reports
        reports.append(
            Report(
                seconds=round(time.perf_counter() - started, 3) if stage else 0.0,
                decisions=stage.decisions[decisions:] if stage else [],
                stages=self.results(stages),
                warnings=self.warnings[warnings:],
            )
        )

    def replay(self, report: Report, stage: Stage | None, what: str) -> None:
        """Report again what an earlier run reported.

        Args:
            report: Its report.
            stage: The running stage; None where whole stages were recorded.
            what: What was restored, for the user.
        """
        if stage is not None:
            stage.earlier_s += report.seconds
            stage.decisions.extend(report.decisions)
            stage.resumed(what)
        for it in report.stages:
            again = self._begin(it.name)
            again.earlier_s = it.seconds
            again.decisions.extend(it.decisions)
            again.resumed(what)
            again.finish()
        self.warn(*report.warnings)
