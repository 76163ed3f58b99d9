"""The smallest files of models without labels: a search by fidelity, and what it takes.

    python benchmarks/smallest_unlabelled.py FOLDER [--epochs 12] [--trials 16] [--rows 6000]

Each model file of FOLDER gets inputs that are drawn with a seed, and no targets. A search looks
for the smallest file with an agreement of 0.99, or a signal-to-noise ratio of 40 dB where no output
is a distribution. Beside it, one job without a search trains for as many epochs as all trials
together. Prints how many times smaller each file is, the fidelity on test rows, and the wall time
of the search over that of the job; then the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from job.result.search import TrialSettings

ROOT = Path(__file__).parents[1]
SUFFIXES = (".h5", ".hdf5", ".keras")
CODECS = ["zopfli", "xz", "brotli"]
SEED = 7
# The share of the training rows that trials are judged on, and how sure it has to be that a file is
# within the loss: what is just within it there is beyond it on the test rows by chance.
HELD_OUT = 0.3
CONFIDENCE = 0.8


def main() -> None:
    """Search every model of a folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--only", help="the name of one model, without its ending")
    parser.add_argument("--keep", type=Path, help="where results are kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.keep or Path(name)
        folder.mkdir(exist_ok=True, parents=True)
        paths = sorted(it for it in asked.folder.iterdir() if it.suffix in SUFFIXES)
        paths = [it for it in paths if asked.only in (None, it.stem)]
        found = [compare(path, asked, folder) for path in paths]
    times, walls = zip(*found, strict=True)
    print(
        f"median: {statistics.median(times):.1f} times smaller, at {statistics.median(walls):.2f} "
        "times the wall time"
    )


def compare(path: Path, asked: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """How many times smaller, and how many times the wall time."""
    draw(path, asked.rows, folder / "data.npz")
    names = {name: name for name in np.load(folder / "data.npz")}
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "kind": "job",
        "name": path.stem,
        "model": {"uri": str(path.resolve())},
        "dataset": {"type": "npz", "uri": str(folder / "data.npz"), "train": {"inputs": names}},
        "training": {"epochs": asked.epochs, "validation_split": HELD_OUT},
        "compress": {"codecs": CODECS},
        "destination": {"uri": str(folder / f"{path.stem}-search"), "overwrite": True},
    }
    budget = {"minutes": 600, "trials": asked.trials}
    for loss in ({"min_agreement": 0.99}, {"min_snr_db": 40}):
        search = {**loss, "confidence": CONFIDENCE, "budget": budget}
        result, wall = run(manifest | {"search": search}, folder)
        if result:
            break
    tried = [TrialSettings.model_validate(it["settings"]) for it in result["search"]["trials"]]
    trained = sum(it.all_epochs for it in tried)
    plain = manifest | {
        "training": manifest["training"] | {"epochs": trained, "objective": "distill"},
        "destination": {"uri": str(folder / f"{path.stem}-plain"), "overwrite": True},
    }
    _, other = run(plain, folder)
    (artifact,) = [it for it in result["artifacts"] if it["format"] == "tflite"]
    baseline = result["artifacts"][0]
    size = min([artifact["bytes"], *(it["bytes"] for it in artifact["encoded"].values())])
    times = (baseline["reference_bytes"] or baseline["bytes"]) / size
    close = {
        name: {key: it[key] for key in ("agreement", "snr_db")}
        for name, it in artifact["fidelity"].items()
    }
    chosen = result["search"]["trials"][result["search"]["chosen"] - 1]["settings"]
    print(
        f"{path.name}: {size:,} B, {times:.1f} times smaller, {result['status']}, {loss}, {close}; "
        f"{chosen}; {wall:.0f} s, a job of {trained} epochs {other:.0f} s ({wall / other:.2f})",
        flush=True,
    )
    return times, wall / other


def draw(path: Path, rows: int, target: Path) -> None:
    """Write inputs for a model, drawn as a job without data would draw them."""
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from job.rows.synthetic import draw_rows\n"
        "from job.models import layers\n"
        "from job.models.load import read\n"
        "from job.models.random_inputs import found_shapes, indexed_inputs\n"
        "from dataclasses import replace\n"
        "model = read(Path(sys.argv[1])).model\n"
        "inputs, _ = layers.signature(model, sys.argv[1])\n"
        "fixed = [replace(a, shape=b) for a, b in zip(inputs, found_shapes(model))]\n"
        "seed, wanted, draws = int(sys.argv[2]), int(sys.argv[3]), []\n"
        "while sum(len(it) for it in draws) < wanted:\n"
        "    rows, _ = draw_rows(fixed, {}, indexed_inputs(model), seed + len(draws))\n"
        "    draws.append(rows)\n"
        "names = [it.name for it in inputs]\n"
        "columns = zip(*(it.inputs for it in draws))\n"
        "parts = {n: np.concatenate(c)[:wanted] for n, c in zip(names, columns)}\n"
        "np.savez(sys.argv[4], **parts)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, path, str(SEED), str(rows), target], check=True, cwd=ROOT
    )


def run(manifest: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
    """A job's result, empty where its inputs were refused, and its seconds."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    out = Path(manifest["destination"]["uri"])
    started = time.monotonic()
    with (folder / f"{out.name}.log").open("w") as log:
        code = subprocess.run(
            [sys.executable, "-m", "job", "run", path],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            check=False,
        ).returncode
    if code == 3:  # no output is a distribution
        return {}, 0.0
    return json.loads((out / "result.json").read_text()), time.monotonic() - started


if __name__ == "__main__":
    main()
