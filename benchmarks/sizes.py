"""Sizes and accuracies of an all-defaults job, beside the tutorial's.

The tutorial's numbers are there twice: as it publishes them, for a baseline of its own, and as
``tutorial.py`` gives them here, for the same model as paredown's.

Usage: python benchmarks/sizes.py MODEL.h5 MNIST.npz
Exits with 1 if a size is above its limit, or the quantized model is worse than the baseline.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from compare import run_paredown, run_tutorial

# "Pruning in Keras example", tensorflow.org/model_optimization; accuracies as fractions.
PUBLISHED = {
    "baseline .h5, bytes": 98_136,
    "baseline accuracy": 0.9575,
    "pruned .h5, zip, bytes": 25_665,
    "quantized .tflite, zip, bytes": 8_129,
    "quantized accuracy": 0.9683,
}
MAX_BYTES = {
    "pruned .h5, zip, bytes": 25_700,
    "quantized .tflite, zip, bytes": 8_600,
    "quantized .tflite, smallest, bytes": 7_100,
}


def of_tutorial(numbers: dict[str, float]) -> dict[str, float]:
    """The rows of the table, from what ``tutorial.py`` printed."""
    return {
        "baseline .h5, bytes": numbers["baseline_bytes"],
        "baseline .h5, zip, bytes": numbers["baseline_zip"],
        "baseline accuracy": numbers["baseline_accuracy"],
        "pruned .h5, zip, bytes": numbers["pruned_zip"],
        "pruned accuracy": numbers["pruned_accuracy"],
        "quantized .tflite, bytes": numbers["tflite_bytes"],
        "quantized .tflite, zip, bytes": numbers["tflite_zip"],
        "quantized accuracy": numbers["tflite_accuracy"],
    }


def of_paredown(artifacts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The rows of the table, from ``result.json``."""
    baseline, pruned, quantized = (artifacts[it] for it in ("baseline", "prune", "dynamic_range"))
    return {
        "baseline .h5, bytes": baseline["bytes"],
        "baseline .h5, zip, bytes": baseline["encoded"]["zip"]["bytes"],
        "baseline accuracy": baseline["metrics"]["accuracy"],
        "pruned .h5, zip, bytes": pruned["encoded"]["zip"]["bytes"],
        "pruned .h5, smallest, bytes": _smallest(pruned),
        "pruned accuracy": pruned["metrics"]["accuracy"],
        "quantized .tflite, bytes": quantized["bytes"],
        "quantized .tflite, zip, bytes": quantized["encoded"]["zip"]["bytes"],
        "quantized .tflite, smallest, bytes": _smallest(quantized),
        "quantized accuracy": quantized["metrics"]["accuracy"],
    }


def _smallest(artifact: dict[str, Any]) -> int:
    encoded: list[int] = [it["bytes"] for it in artifact["encoded"].values()]
    return min(encoded)


def with_ratios(rows: dict[str, float]) -> dict[str, float]:
    """The rows, and how many times smaller the model got."""
    found = dict(rows)
    for form in ("zip", "smallest"):
        size = rows.get(f"quantized .tflite, {form}, bytes")
        if size is not None:
            found[f"times smaller, {form}"] = rows["baseline .h5, bytes"] / size
    return found


def show(published: dict[str, float], here: dict[str, float], ours: dict[str, float]) -> None:
    """The table; where the tutorial has no smallest encoding, paredown's stands beside its zip."""
    print(
        f"{'':<36}{'tutorial':>11}{'tutorial':>11}{'paredown':>11}{'paredown/':>11}{'paredown/':>11}"
    )
    print(f"{'':<36}{'published':>11}{'here':>11}{'here':>11}{'published':>11}{'here':>11}")
    for row, value in ours.items():
        usual = row.replace("smallest", "zip")
        cells = [_cell(row, it.get(row)) for it in (published, here, ours)]
        cells += [f"{value / it[usual]:.3f}" if usual in it else "" for it in (published, here)]
        print(f"{row:<36}" + "".join(f"{cell:>11}" for cell in cells))
    print("The smallest encodings are compared with the tutorial's zips.")


def _cell(row: str, value: float | None) -> str:
    if value is None:
        return ""
    if "bytes" in row:
        return f"{value:,.0f}"
    return f"{value:.1f}" if "times" in row else f"{value:.4f}"


def misses(ours: dict[str, float]) -> list[str]:
    """What is not as it must be."""
    found = [
        f"{row}: {ours[row]:,.0f} is more than {limit:,}"
        for row, limit in MAX_BYTES.items()
        if ours[row] > limit
    ]
    if ours["quantized accuracy"] < ours["baseline accuracy"]:
        found.append("the quantized model is less accurate than the baseline")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the trained model, a Keras 2 .h5")
    parser.add_argument("data", type=Path, help="MNIST as an .npz archive")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        _, numbers = run_tutorial(given.model, given.data, Path(name))
        _, artifacts = run_paredown(given.model, given.data, Path(name))
    ours = with_ratios(of_paredown(artifacts))
    show(with_ratios(dict(PUBLISHED)), with_ratios(of_tutorial(numbers)), ours)
    found = misses(ours)
    print("\n".join(found) or "All within their limits.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
