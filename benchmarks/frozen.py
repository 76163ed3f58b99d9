"""Whether two checkouts do the same: for changes that must not change what users get.

A few runs are made with each: the quickstart, a model of every format, a manifest that is wrong,
a model that is missing, a gate that is missed, a batch that is done twice, and a run that is killed
and resumed, by the same checkout and by the other one. Compared are exit codes, the names and
fields of events, run ids, what a result holds and which fields it has, the SHA-256 of every file,
and the formats of `.resume` and `.batch`.

Usage: python benchmarks/frozen.py OLD_CHECKOUT [NEW_CHECKOUT]
Exits with 1 if anything differs. The run ids have the versions of all packages in them, so both
checkouts run in this Python.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent
QUICKSTART = HERE / "manifests" / "quickstart"
# What differs from run to run.
MEASURED = {
    *("latency_ms", "latency", "seconds", "waited_s", "earlier_s", "started_at", "made_at", "at"),
    *("environment", "retries"),
}
# What is for people: it may be said in other words.
WORDS = {"decisions", "reason", "warnings", "explanation", "what", "to_do", "where"}
MAKE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, tf_keras
for package, files in ((tf_keras, ("old.h5", "old.keras", "saved")), (keras, ("new.keras",))):
    package.utils.set_random_seed(3)
    layers = package.layers
    model = package.Sequential([
        layers.Input((28, 28)), layers.Reshape((28, 28, 1)), layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax")])
    for file in files:
        model.save(sys.argv[1] + "/" + file)
"""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=HERE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        models = Path(made)
        subprocess.run([sys.executable, "-c", MAKE, made], check=True, stderr=subprocess.DEVNULL)
        old = frozen(asked.old, asked.old, models)
        new = frozen(asked.new, asked.new, models)
        mixed = {"killed": killed(asked.old, asked.new, models)}
    same = sorted(key for key in old if old[key] == new.get(key))
    for key in same:
        print(f"same       {key}: {len(json.dumps(old[key])):,} characters")
    different = sorted({*old, *new} - {*same})
    for key in different:
        print(f"DIFFERENT  {key}")
        print_differences(old.get(key), new.get(key), "  ")
    if mixed["killed"] != old["killed"]:
        print("DIFFERENT  a run that the old one left and the new one ended")
        print_differences(old["killed"], mixed["killed"], "  ")
        return 1
    print("same       a run that the old one left and the new one ended")
    return 1 if different else 0


def frozen(checkout: Path, other: Path, models: Path) -> dict[str, Any]:
    """All that must not change, of one checkout."""
    runs: dict[str, Callable[[Path], dict[str, Any]]] = {
        "quickstart": lambda out: once(
            checkout, json.loads((QUICKSTART / "quickstart.json").read_text()), out
        ),
        "wrong manifest": lambda out: once(checkout, job("x.h5") | {"quantize": 7, "oh": 1}, out),
        "missing model": lambda out: once(checkout, job("nowhere.h5"), out),
        "missed gate": lambda out: once(
            checkout, job(models / "old.h5") | {"gates": [{"type": "min_ratio", "value": 999}]}, out
        ),
        "batch": lambda out: batch(checkout, models, out),
        "killed": lambda _: killed(checkout, other, models),
    }
    for name in ("old.h5", "old.keras", "saved", "new.keras"):
        runs[name] = partial(once, checkout, job(models / name))
    found = {}
    for name, run in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run(Path(folder))
        print(f"{checkout.name}: {name}", file=sys.stderr, flush=True)
    return found


def job(model: Path | str) -> dict[str, Any]:
    """A job of the quickstart's data, short, with every codec and variant."""
    return {
        "name": "frozen",
        "model": {"uri": str(model)},
        "dataset": {
            "uri": str(QUICKSTART / "mnist.npz"),
            "scale": 1 / 255,
            "train": {"inputs": "x_train", "targets": "y_train"},
            "test": {"inputs": "x_test", "targets": "y_test"},
        },
        "training": {"epochs": 2},
        "compress": {"codecs": ["zip", "gzip", "zopfli", "brotli", "zstd", "xz"]},
        "quantize": [
            {"type": it} for it in ("float32", "float16", "dynamic_range", "int8", "int16x8")
        ],
    }


def start(checkout: Path, manifest: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    """Start a run; a manifest with relative URIs lies with the quickstart's files."""
    manifest = manifest | {"destination": {"uri": str(folder / "out"), "overwrite": True}}
    file = folder / "job.json"
    file.write_text(json.dumps(manifest))
    for it in QUICKSTART.iterdir():
        if not (folder / it.name).exists():
            (folder / it.name).symlink_to(it)
    return subprocess.Popen(
        [sys.executable, "-m", "job", "run", str(file)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def once(checkout: Path, manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a run of a job leaves and tells."""
    run = start(checkout, manifest, folder)
    out, err = run.communicate()
    events = [json.loads(line) for line in (out + err).splitlines() if line.startswith("{")]
    named = {event["event"]: sorted(event) for event in events}
    print(f"  exit code {run.returncode}", file=sys.stderr)
    return {
        "exit code": run.returncode,
        "events": list(dict.fromkeys(event["event"] for event in events)),
        "fields of events": named,
        "files": files(folder / "out"),
    }


def batch(checkout: Path, models: Path, folder: Path) -> dict[str, Any]:
    """A batch of two jobs, one of which fails, that is done twice."""
    defaults = {key: value for key, value in job("").items() if key not in ("name", "model")}
    jobs = [{"name": it, "model": {"uri": str(models / it)}} for it in ("old.h5", "no.h5")]
    asked = {"kind": "batch", "name": "frozen", "defaults": defaults, "jobs": jobs}
    first = once(checkout, asked, folder)
    return {"first": first, "second": once(checkout, asked, folder)}


def killed(first: Path, second: Path, models: Path) -> dict[str, Any]:
    """A run that is killed once it has saved a training, and is ended by another checkout."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = job(models / "old.h5") | {"resume": {"save_every_s": 1}}
        asked["training"] = {"epochs": 40}
        run = start(first, asked, folder)
        index = folder / "out" / ".resume"
        while run.poll() is None and not list(index.rglob("index.json")):
            time.sleep(0.05)
        if run.poll() is not None:
            return {"ended before it could be killed": run.returncode}
        run.send_signal(signal.SIGKILL)
        run.communicate()
        left = sorted(shape_of(json.loads(it.read_text())) for it in index.rglob("index.json"))
        return {"left": left, "resumed": once(second, asked, folder)}


def files(folder: Path) -> dict[str, Any]:
    """Every file: its SHA-256, and of JSON what it holds; what is measured, by its field alone."""
    found: dict[str, Any] = {}
    for path in sorted(it for it in folder.rglob("*") if it.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = without_measured(json.loads(path.read_text()), str(folder))
        elif path.suffix in (".csv", ".html", ".md"):
            found[name] = "a table"
        elif name.startswith(".batch") or "/.batch/" in name:
            found[name.rsplit("-", 2)[0]] = "a mark"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def without_measured(value: Any, folder: str) -> Any:
    """JSON without figures of time, and without the folder's name."""
    if isinstance(value, dict):
        return {
            key: "…" if key in MEASURED | WORDS else without_measured(each, folder)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [without_measured(each, folder) for each in value]
    return value.replace(str(Path(folder).parent), "") if isinstance(value, str) else value


def shape_of(value: Any) -> str:
    """The fields that JSON has, in their order, whatever they hold."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shape_of(each)}" for key, each in value.items()) + "}"
    return "[…]" if isinstance(value, list) else type(value).__name__


def print_differences(old: Any, new: Any, indent: str) -> None:
    """Where two values differ, one line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                print(f"{indent}{key}")
                print_differences(old.get(key), new.get(key), indent + "  ")
        return
    print(f"{indent}{json.dumps(old)[:300]}\n{indent}{json.dumps(new)[:300]}")


if __name__ == "__main__":
    sys.exit(main())
