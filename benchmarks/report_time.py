"""What the pages add to the wall time of a run: the quickstart with and without them, in turn.

Usage: python benchmarks/report_time.py [--rounds 4]
Exits with 1 if the median ratio of the wall times is above 1.08, or a run did not leave its pages.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from processes import program, ratios, run

MAX_RATIO = 1.08
QUICKSTART = Path(__file__).parent.parent / "manifests" / "quickstart" / "quickstart.json"
PAGES = ("report.html", "report.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    paredown = program("paredown")
    ways: dict[str, list[str]] = {"with pages": [], "without": ["--set", "report=null"]}
    wall_s: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        for number in range(rounds + 1):
            for name, options in ways.items():
                out = Path(place) / f"{name.replace(' ', '-')}-{number}"
                done = run([paredown, "run", QUICKSTART, "--output", out, *options])
                there = [page for page in PAGES if (out / page).exists()]
                if len(there) != (0 if options else len(PAGES)):
                    sys.exit(f"{name}: the pages are {there}")
                if number:  # the first pair is a warm-up
                    wall_s[name].append(done.wall_s)
    for name, seconds in wall_s.items():
        cells = " ".join(f"{it:.2f}" for it in seconds)
        print(f"{name:<12}{statistics.median(seconds):.2f} s of {cells}")
    low, middle, high = ratios(wall_s["with pages"], wall_s["without"])
    print(f"ratio of the wall times: {low:.3f}, {middle:.3f}, {high:.3f} (min, median, max)")
    if middle > MAX_RATIO:
        sys.exit(f"{middle:.3f} times the wall time, more than {MAX_RATIO:g}.")


if __name__ == "__main__":
    main()
