"""Warm workers: how many, what ends them, and that a job never gets another job's."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from job import machine
from job.batch.workers import WORKER_BYTES, Limits, Workers, count_workers
from job.errors import InterruptedRunError, StageError
from job.run.supervisor import run
from job.worker.protocol import Task
from tests.support.rare import rare

NO_LIMITS = Limits(None, None)


def task(folder: Path, tiny: Path) -> Task:
    """An inspection, which takes the time to import TensorFlow."""
    folder.mkdir()
    for name in ("output", "checkpoints"):
        (folder / name).mkdir()
    model = tiny / "model.h5"
    return Task(
        kind="inspect",
        model=str(model),
        model_name="the model",
        model_bytes=model.stat().st_size,
        output=str(folder / "output"),
        scratch=str(folder),
        checkpoints=str(folder / "checkpoints"),
        variants=False,
    )


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each core and job, where there is memory for it; or what is asked."""
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10 * WORKER_BYTES)
    assert count_workers("auto", 100, NO_LIMITS) == 4
    assert count_workers("auto", 3, NO_LIMITS) == 3
    assert count_workers("auto", 0, NO_LIMITS) == 1
    assert count_workers("auto", 100, Limits(None, 4 * WORKER_BYTES)) == 2
    assert count_workers(7, 100, NO_LIMITS) == 7
    assert count_workers(7, 2, NO_LIMITS) == 2
    monkeypatch.setattr(machine, "memory_bytes", lambda: WORKER_BYTES // 2)
    assert count_workers("auto", 100, NO_LIMITS) == 1


def test_a_worker_stays_warm_and_a_dead_one_is_replaced(tiny: Path, tmp_path: Path) -> None:
    """The second task finds TensorFlow imported; after a kill there is another process."""
    imported: list[float] = []

    def emit(event: dict[str, object]) -> None:
        if event["event"] == "stage_finished" and event["stage"] == "import":
            imported.append(float(str(event["seconds"])))

    with Workers(1, NO_LIMITS, verbose=False) as workers:
        for number in range(2):
            assert run(task(tmp_path / str(number), tiny), emit, workers)["parameters"] > 0
        assert workers.started == 1
        assert imported[1] < imported[0] / 10
        (seat,) = workers._seats
        assert seat.child is not None
        os.kill(seat.child.pid, signal.SIGKILL)
        seat.child.wait()
        run(task(tmp_path / "after", tiny), emit, workers)
        assert workers.started == 2
        pid = seat.child.pid
    assert not Path(f"/proc/{pid}").exists()


@rare
def test_one_that_has_run_a_models_code_is_not_used_again(tiny: Path, tmp_path: Path) -> None:
    """Nothing of it may reach the next job; nor of one that has failed."""
    from dataclasses import replace

    with Workers(1, NO_LIMITS, verbose=False) as workers:
        run(replace(task(tmp_path / "trusted", tiny), trust=True), lambda _: None, workers)
        (seat,) = workers._seats
        assert seat.child is None
        (tmp_path / "none.h5").write_bytes(b"")
        broken = replace(task(tmp_path / "broken", tiny), model=str(tmp_path / "none.h5"))
        with pytest.raises(Exception, match=r"empty|HDF5|no model"):
            run(broken, lambda _: None, workers)
        assert seat.child is None


def test_how_long_a_job_waits_for_a_worker_is_known(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each job; that of the one that comes first is nothing."""
    begun = threading.Event()
    asked = task(tmp_path / "asked", tiny)
    with Workers(1, NO_LIMITS, verbose=False) as workers:
        monkeypatch.setattr(workers, "_start", lambda *_: object())
        first, second = workers.of_a_job(), workers.of_a_job()

        def work() -> None:
            with first.child(asked, {}):
                begun.set()
                time.sleep(0.3)

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        with second.child(asked, {}):
            pass
        thread.join()
    assert first.waited_s < 0.1
    assert 0.2 <= second.waited_s < 5
    assert workers.waited_s == first.waited_s + second.waited_s


def test_one_that_takes_too_long_is_ended(tiny: Path, tmp_path: Path) -> None:
    """And the job hears why."""
    with (
        Workers(1, Limits(0.2, None), verbose=False) as workers,
        pytest.raises(StageError, match=r"more than the 0\.2 s") as failed,
    ):
        run(task(tmp_path / "slow", tiny), lambda _: None, workers)
    assert failed.value.where.startswith("stage ")


def test_one_that_takes_too_much_is_ended(tiny: Path, tmp_path: Path) -> None:
    """TensorFlow alone takes more than this."""
    with (
        Workers(1, Limits(None, 100_000_000), verbose=False) as workers,
        pytest.raises(StageError, match="more than the 100,000,000"),
    ):
        run(task(tmp_path / "large", tiny), lambda _: None, workers)


def test_a_thread_that_waits_is_stopped(tiny: Path, tmp_path: Path) -> None:
    """As is the one that works, which ends within the grace."""
    with Workers(1, NO_LIMITS, verbose=False) as workers:

        def stop(event: dict[str, object]) -> None:
            if event["event"] == "stage_started" and event["stage"] == "import":
                workers.stop(5)

        started = time.monotonic()
        with pytest.raises(InterruptedRunError):
            run(task(tmp_path / "working", tiny), stop, workers)
        assert time.monotonic() - started < 30
        with pytest.raises(InterruptedRunError):
            run(task(tmp_path / "waiting", tiny), lambda _: None, workers)
