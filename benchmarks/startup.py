"""How fast the commands answer that need no TensorFlow, against importing what they are made of.

CPU time of ``paredown --help`` and of ``paredown validate`` beside that of
``python -c "import typer, pydantic"``, in turn, as whole processes.

Usage: python benchmarks/startup.py [--rounds 15]
Exits with 1 if the median ratio of one of them is above 2.
"""

import argparse
import statistics
import sys
from pathlib import Path

from processes import program, ratios, run

MAX_RATIO = 2.0
QUICKSTART = Path(__file__).parent.parent / "manifests" / "quickstart" / "quickstart.json"
IMPORTS = "import typer, pydantic"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    paredown = program("paredown")
    commands: dict[str, list[str | Path]] = {
        "paredown --help": [paredown, "--help"],
        "paredown validate": [paredown, "validate", QUICKSTART],
        IMPORTS: [sys.executable, "-c", IMPORTS],
    }
    for command in commands.values():  # warm-up
        run(command)
    cpu_s: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            cpu_s[name].append(run(command).cpu_s)

    print(f"{'CPU time':<24}{'median, ms':>12}   ratio to the imports: min, median, max")
    worst = 0.0
    for name, seconds in cpu_s.items():
        low, middle, high = ratios(seconds, cpu_s[IMPORTS])
        worst = max(worst, middle)
        print(
            f"{name:<24}{statistics.median(seconds) * 1e3:>12.1f}"
            f"   {low:.2f}, {middle:.2f}, {high:.2f}"
        )
    if worst > MAX_RATIO:
        sys.exit(f"{worst:.2f} times the imports, more than {MAX_RATIO:g}.")


if __name__ == "__main__":
    main()
