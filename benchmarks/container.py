"""What the container costs: importing TensorFlow in it against a virtual environment, its size.

``import tensorflow`` is timed by a Python in the image, run hardened, in turn with the Python that
runs this. Beside it stands what starting a container takes: that of ``paredown --help``, and of
``true``, which is the engine's own share. The image's size and largest packages are printed.

Usage: python benchmarks/container.py [--rounds 7] [--image paredown] [--engine podman]
Exits with 1 if the import takes more than 1.2 times as long by the median, or ``--help`` more than
a second.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

from processes import Run, ratios, run

MAX_RATIO = 1.2
MAX_HELP_S = 1.0
IMPORT = """
import time
started = time.perf_counter()
import tensorflow
print(time.perf_counter() - started)
"""
HARDENED = (
    *("--read-only", "--user", "65532:65532", "--cap-drop", "all", "--network", "none"),
    *("--security-opt", "no-new-privileges", "--memory", "4g", "--pids-limit", "256"),
    *("--tmpfs", "/tmp:rw,noexec,nosuid"),  # noqa: S108 - in the container
)
# Mebibytes and a folder on each line, the largest last.
FOLDERS = "du -m -s /opt/paredown/lib/python3.11/site-packages/*/ | sort -n | tail -n 10"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--image", default="paredown")
    parser.add_argument("--engine", default=shutil.which("podman") or shutil.which("docker"))
    arguments = parser.parse_args()
    if not arguments.engine:
        sys.exit("There is neither podman nor docker.")
    return arguments


def show(engine: str, image: str) -> None:
    """Print the image's size, and what of it is large."""
    (found,) = json.loads(run([engine, "image", "inspect", image]).output)
    print(f"{image}: {found['Size'] / 1e6:,.0f} MB")
    entry = ["--rm", "--network", "none", "--entrypoint", "sh"]
    listed = run([engine, "run", *entry, image, "-c", FOLDERS]).output.splitlines()
    for line in reversed(listed):
        mebibytes, folder = line.split("\t")
        print(f"{int(mebibytes) * 1.048576:>8,.0f} MB {Path(folder).name}")


def main() -> None:
    arguments = parse_arguments()
    start = [arguments.engine, "run", "--rm", *HARDENED]
    commands: dict[str, list[str | Path]] = {
        "container": [*start, "--entrypoint", "python", arguments.image, "-c", IMPORT],
        "venv": [sys.executable, "-c", IMPORT],
        "paredown --help": [*start, arguments.image, "--help"],
        "true": [*start, "--entrypoint", "true", arguments.image],
    }
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for command in commands.values():  # warm-up: files come into memory
        run(command)
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            runs[name].append(run(command))

    imports = {name: [float(it.output) for it in runs[name]] for name in ("container", "venv")}
    for name, seconds in imports.items():
        cells = " ".join(f"{it:.2f}" for it in seconds)
        print(f"import tensorflow, {name:<10}{statistics.median(seconds):.2f} s of {cells}")
    low, ratio, high = ratios(imports["container"], imports["venv"])
    print(f"ratio: {low:.2f}, {ratio:.2f}, {high:.2f} (smallest, median, largest)")
    whole = {name: statistics.median(it.wall_s for it in done) for name, done in runs.items()}
    print(f"paredown --help: {whole['paredown --help']:.2f} s; `true`: {whole['true']:.2f} s")
    show(arguments.engine, arguments.image)
    if ratio > MAX_RATIO:
        sys.exit(f"The import takes {ratio:.2f} times as long, more than {MAX_RATIO:g}.")
    if whole["paredown --help"] > MAX_HELP_S:
        sys.exit(f"--help takes {whole['paredown --help']:.2f} s, more than {MAX_HELP_S:g}.")


if __name__ == "__main__":
    main()
