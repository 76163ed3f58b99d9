"""How much longer a job takes that distills than one that learns labels: the quickstart's.

    python benchmarks/distill_speed.py [--rounds 5]

Both run as whole processes with the same epochs, in turn, and are compared pair by pair. Exits with
1 where the median ratio of their wall times is above 1.25.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from buckets import QUICKSTART
from processes import run

MAX_RATIO = 1.25
OBJECTIVES = ("supervised", "distill")


def main() -> None:
    """Run the pairs and print their ratios."""
    parser = argparse.ArgumentParser(description="Distilling against learning labels")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifests = {objective: _manifest(folder, objective) for objective in OBJECTIVES}
        ratios = []
        for number in range(rounds + 1):
            order = OBJECTIVES if number % 2 else OBJECTIVES[::-1]
            seconds = {objective: _seconds(manifests[objective]) for objective in order}
            if number:  # the first is a warm-up
                ratios.append(seconds["distill"] / seconds["supervised"])
                print(
                    f"supervised {seconds['supervised']:.2f} s, distill {seconds['distill']:.2f} s:"
                    f" {ratios[-1]:.2f}",
                    flush=True,
                )
    middle = statistics.median(ratios)
    print(f"median {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), limit {MAX_RATIO}")
    sys.exit(middle > MAX_RATIO)


def _manifest(folder: Path, objective: str) -> Path:
    asked = json.loads((QUICKSTART / "quickstart.json").read_text())
    for section in ("model", "dataset"):
        asked[section]["uri"] = str(QUICKSTART / asked[section]["uri"])
    asked["training"] = {"objective": objective}
    asked["destination"] = {"uri": str(folder / objective), "overwrite": True}
    asked["gates"] = []
    path = folder / f"{objective}.json"
    path.write_text(json.dumps(asked))
    return path


def _seconds(manifest: Path) -> float:
    asked = json.loads(manifest.read_text())
    result = Path(asked["destination"]["uri"]) / "result.json"
    shutil.rmtree(result.parent, ignore_errors=True)  # done already would take no time
    return run([sys.executable, "-m", "job", "run", manifest, "--log", "json"]).wall_s


if __name__ == "__main__":
    main()
