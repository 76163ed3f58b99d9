"""What a run that is killed costs, and whether its results are the same.

The quickstart runs from bucket to bucket, on a store of its own: once undisturbed; then, for each
of the points, until it is killed, and once more until its end. Points are spread evenly over the
time of the undisturbed run; the others are at the upload of each of its objects and of what is kept
of the training, before the store has it, and of ``result.json`` after that, too.

Usage: python benchmarks/kill.py [--points 30] [--signal KILL|TERM] [--save-every 1]
Exits with 1 if a file differs from the undisturbed run's, a result was there before all its files
were, something is left over in the bucket, a run that SIGTERM ends does not end with 143 within
the grace, or more training than the save interval and two seconds is done again, which the state
may take to get there. (By the steps that were told, which is after each half a second's.)

With --stream, rows are read batch by batch. With --search, the quickstart searches for its smallest
file, in four trials; points are spread over the time alone, and the trial that is chosen must be
the same, too.
"""

import argparse
import json
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buckets import (
    QUICKSTART,
    contents,
    running_store,
    upload_quickstart,
)
from killing import ALLOWANCE_S, GRACE_S, OF_THE_RUN, Bench, Ran, Shot

from tests.support.faults import Faults, hook
from tests.support.identities import MODELS, RESULTS


@dataclass(frozen=True)
class Point:
    """Where a run is killed: after some seconds, or when an object is put."""

    after_s: float = 0.0
    put: str = ""
    """A pattern for its name."""
    nth: int = 1
    is_stored: bool = False
    """Whether the store has it by then."""

    def __str__(self) -> str:
        if not self.put:
            return f"after {self.after_s:.1f} s"
        name = self.put.replace("\\", "").replace("[^/]+", "")
        return f"{name} {'stored' if self.is_stored else 'sent'}"

    def arm(self, proxy: Faults, prefix: str, shot: Shot) -> Shot:
        """Have it fire there."""
        if not self.put:
            timer = threading.Timer(self.after_s, shot.fire)
            timer.daemon = True
            timer.start()
            return shot

        def fire(_: object) -> bool:
            shot.fire()
            # A killed process gets no answer; one that ends in its own time gets all that it asks.
            return shot.number != signal.SIGKILL

        match = f"^/{RESULTS}/{prefix}/{self.put}$"
        proxy.add(hook(fire, after=self.is_stored), method="PUT", match=match, nth=self.nth)
        return shot


@dataclass
class Outcome:
    """What became of one point."""

    point: Point
    stage: str
    had_result: bool
    steps: int
    steps_s: float
    more_s: float
    stop_s: float
    identical: bool
    wrong: list[str]


# Ended by the number of its trials, since time is not the same twice; clusters are one more file.
SEARCH = {
    "training": {"epochs": 1},
    "prune": {},
    "quantize": [{"type": "dynamic_range"}],
    "gates": [],
    "search": {
        "max_drop": 0.05,
        "budget": {"minutes": 1000, "trials": 4},
        "over": {"weight_bits": [8], "clusters": [16], "sparsity": [0.3, 0.9]},
    },
}


def chosen(files: Mapping[str, bytes]) -> int | None:
    """The number of the trial that a search has chosen; None for a run without one."""
    search = json.loads(files["result.json"])["search"] if "result.json" in files else None
    return search and int(search["chosen"])


def spread(undisturbed: Ran, number: int) -> list[Point]:
    """Points that are spread evenly over the time."""
    return [Point((place + 0.5) / number * undisturbed.seconds) for place in range(number)]


def points(undisturbed: Ran, files: Mapping[str, bytes], number: int) -> list[Point]:
    """One for each object, and more; the others spread over the time."""
    kept = r"\.resume/[^/]+/"
    at_uploads = [
        *(Point(put=f"{kept}training-[^/]+", nth=nth) for nth in (1, 2, 3)),
        Point(put=rf"{kept}index\.json", nth=2),
        *(Point(put=re.escape(name)) for name in sorted(files)),
        Point(put=r"result\.json", is_stored=True),
    ]
    in_time = max(0, number - len(at_uploads))
    return [*spread(undisturbed, in_time), *at_uploads[: number - in_time]]


def disturb(
    bench: Bench, point: Point, number: signal.Signals, before: tuple[Ran, Mapping[str, bytes]]
) -> Outcome:
    """Kill a run, look at what it left, run again, and compare."""
    undisturbed, expected = before
    known = _warnings(undisturbed)
    prefix = re.sub(r"\W+", "-", f"{number.name}-{point}-{point.nth}")
    first = bench.run(prefix, lambda process: point.arm(bench.proxy, prefix, Shot(process, number)))
    had_result, is_whole = bench.result_is_whole(prefix)
    second = bench.run(prefix)
    files = contents(bench.store, prefix)
    steps, steps_s = _again(first, second, undisturbed)
    identical = {name for name in expected if name not in OF_THE_RUN} == {
        name for name in files if name not in OF_THE_RUN and files[name] == expected.get(name)
    }
    wrong = [
        *(["a result that is not whole"] if had_result and not is_whole else []),
        *([f"run again: {second.code}, {second.errors}"] if second.code else []),
        *([] if identical and files.keys() == expected.keys() else ["other files"]),
        *([] if chosen(files) == chosen(expected) else ["another trial is chosen"]),
        *(f"left over: {name}" for name in bench.left_over(prefix)),
        *(it for it in (*_warnings(first), *_warnings(second)) if it not in known),
    ]
    expected_codes = {0, 143} if number == signal.SIGTERM else {0, -number}
    if first.code not in expected_codes or first.stop_s > GRACE_S:
        wrong.append(f"ended with {first.code} after {first.stop_s:.1f} s: {first.errors}")
    if steps_s > bench.save_every_s + ALLOWANCE_S:
        wrong.append("too much is done again")
    more_s = first.seconds + second.seconds - undisturbed.seconds
    return Outcome(
        *(point, first.stage, had_result, steps, steps_s, more_s, first.stop_s, identical, wrong)
    )


def _again(first: Ran, second: Ran, undisturbed: Ran) -> tuple[int, float]:
    """The training steps that are done a second time, and how long they take undisturbed."""
    if not first.training or not second.training:
        return 0, 0.0
    steps = max(0, first.training[-1][1] - second.first_step)
    (from_s, from_step), (to_s, to_step) = undisturbed.training[0], undisturbed.training[-1]
    return steps, steps * (to_s - from_s) / max(1, to_step - from_step)


def _warnings(ran: Ran) -> list[str]:
    return [f"warns: {it['message']}" for it in ran.events if it["event"] == "warning"]


def show(outcome: Outcome) -> None:
    """One line, and one for all that is wrong."""
    print(
        f"{outcome.point!s:<38}{outcome.stage:<10}{'yes' if outcome.had_result else 'no':>7}"
        f"{outcome.steps:>8}{outcome.steps_s:>8.2f}{outcome.more_s:>8.1f}"
        f"   {'yes' if outcome.identical else 'NO'}",
        flush=True,
    )
    for wrong in outcome.wrong:
        print(f"    {wrong}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--save-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--objective", choices=["supervised", "distill"], default="supervised")
    parser.add_argument("--stream", action="store_true", help="with no rows in memory")
    parser.add_argument("--search", action="store_true", help="with a search of four trials")
    given = parser.parse_args()
    number = signal.Signals[f"SIG{given.signal}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_store(folder) as store, Faults(store.url()) as proxy:
            upload_quickstart(store)
            sections: Mapping[str, Any] = {"training": {"objective": given.objective}}
            if given.stream:
                quickstart = json.loads((QUICKSTART / "quickstart.json").read_text())
                data = {"uri": f"s3://{MODELS}/mnist.npz", "memory_bytes": 0}
                sections = {**sections, "dataset": quickstart["dataset"] | data}
            if given.search:
                sections = SEARCH
            bench = Bench(store, proxy, folder, given.save_every, sections)
            bench.run("warm-up")
            undisturbed = bench.run("undisturbed")
            expected = contents(store, "undisturbed")
            if undisturbed.code or "result.json" not in expected:
                sys.exit(f"the undisturbed run failed: {undisturbed.errors}")
            print(f"undisturbed: {undisturbed.seconds:.1f} s, {len(expected)} objects")
            print(
                f"{number.name:<38}{'stage':<10}{'result':>7}{'steps':>8}{'s':>8}{'more s':>8}"
                "   identical",
                flush=True,
            )
            outcomes = []
            places = (
                spread(undisturbed, given.points)
                if given.search
                else points(undisturbed, expected, given.points)
            )
            for point in places:
                outcomes.append(disturb(bench, point, number, (undisturbed, expected)))
                show(outcomes[-1])
    same = sum(it.identical for it in outcomes)
    most = max(it.steps_s for it in outcomes)
    print(
        f"\nidentical {same}/{len(outcomes)}; at most {most:.2f} s of training done again, with a "
        f"save every {given.save_every:g} s; both runs take at most "
        f"{max(it.more_s for it in outcomes):.1f} s more than an undisturbed one, and the "
        f"first ends within {max(it.stop_s for it in outcomes):.1f} s of the signal"
    )
    failed = [it for it in outcomes if it.wrong]
    sys.exit(f"{len(failed)} of {len(outcomes)} points failed." if failed else 0)


if __name__ == "__main__":
    main()
