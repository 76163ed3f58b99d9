"""prove: a file is opened and run by a plain interpreter, in fresh processes.

A file that was rewritten may be one that an interpreter refuses, or that ends its process, as
XNNPACK did for a scale of 0. So it is run with XNNPACK, with the built-in kernels alone and with
the reference kernels, before it counts as made. Their outputs differ, since each quantizes
activations in its own way: by how much is recorded.

The reference kernels open a file with blockwise scales and answer with zeros. It is run by the
others alone, which then have to agree (``refuse_disagreement``): kernels that compute something
else beside such scales do not say so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from job.errors import StageError
from job.tflite import alone
from job.tflite.interpret import RESOLVERS, Array, predictor

# How long a call of one row may take.
SECONDS = 120
# Kernels that are written to be read, and may take minutes for a large model.
SLOW = ("reference",)
# How operators are run that ignore blockwise scales.
WITHOUT_BLOCKS = ("reference",)
# Interpreters agree where the norm of the difference is at most this part of the outputs' norm.
# Activations in 8 bits make differences of some percent; scales that are ignored, of about 1.
AGREE = 0.25


def prove(path: Path, rows: Sequence[Array], *, is_blockwise: bool = False) -> dict[str, float]:
    """Run a file by each kind of kernels, in a process each.

    Args:
        path: The file.
        rows: An array for each of its inputs, in its order and of its dtypes; one call's.
        is_blockwise: Whether any of its weights have blockwise scales.

    Returns:
        By how operators are run, the largest absolute difference from XNNPACK's outputs. The
        reference kernels are missing where they take longer than that: they are slow.

    Raises:
        StageError: Where one of them does not open or run it, or has no number where others do.
    """
    names = kinds(is_blockwise=is_blockwise)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "rows.npz"
        np.savez(given, *rows)
        answers = {name: Path(folder) / f"{name}.npz" for name in names}
        running = {
            name: subprocess.Popen(  # noqa: S603 - this interpreter, and a file of this package
                [
                    *(sys.executable, "-I", alone.__file__, str(path), str(given)),
                    *(RESOLVERS[name].name, str(answer)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, answer in answers.items()
        }
        try:
            for name, process in running.items():
                said = _said(process)
                if said is None and name in SLOW:
                    del answers[name]
                else:
                    _refuse_failure(path, name, process.returncode, said)
        finally:
            for process in running.values():
                process.kill()
                process.wait()
        outputs = {name: _read(answer) for name, answer in answers.items()}
    first = next(iter(outputs.values()))
    found = {name: _distance(it, first) for name, it in outputs.items()}
    if np.isinf(max(found.values())):
        raise StageError(
            "Interpreters do not agree on the file: where one has a number, another has none.",
            where=f"quantize, {path.name}",
            hint="Leave weight_bits, slim or the variant out, and report the model.",
        )
    return found


def kinds(*, is_blockwise: bool) -> list[str]:
    """The ways in which a file's operators are run."""
    return [it for it in RESOLVERS if not is_blockwise or it not in WITHOUT_BLOCKS]


def refuse_disagreement(
    path: Path, inputs: Sequence[str], outputs: Sequence[str], rows: Sequence[Array]
) -> None:
    """Compare what XNNPACK and the built-in kernels make of a file with blockwise scales.

    Args:
        path: The file, which ``prove`` has run.
        inputs: The Keras model's inputs, in the order of ``rows``.
        outputs: Its outputs.
        rows: An array for each input, (rows, ...).

    Raises:
        StageError: Where they do not agree.
    """
    one, other = (
        predictor(path, inputs, outputs, 1, it)(rows)
        for it in RESOLVERS
        if it not in WITHOUT_BLOCKS
    )
    for name, a, b in zip(outputs, one, other, strict=True):
        far, size = (float(np.linalg.norm(np.nan_to_num(it).ravel())) for it in (a - b, a))
        if far > AGREE * size:
            raise StageError(
                "XNNPACK and LiteRT's built-in kernels do not agree on blockwise scales: "
                f"{name} differs by {far:.3g} where its norm is {size:.3g}.",
                where=f"quantize, {path.name}",
                hint="Leave blockwise out, and report the model.",
            )


def _said(process: subprocess.Popen[str]) -> str | None:
    """What a process that has ended wrote; None where it takes too long."""
    try:
        return process.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        return None


def _refuse_failure(path: Path, name: str, code: int | None, said: str | None) -> None:
    if code == 0:
        return
    said = f"no answer within {SECONDS} s" if said is None else said
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"it ended with {code}"
    raise StageError(
        f"A plain interpreter does not run the file ({name}): {reason[:300]}",
        where=f"quantize, {path.name}",
        hint="Leave weight_bits, slim or the variant out, and report the model.",
    )


def _read(path: Path) -> list[Array]:
    with np.load(path, allow_pickle=False) as content:
        return [content[f"arr_{index}"] for index in range(len(content.files))]


def _distance(one: Sequence[Array], other: Sequence[Array]) -> float:
    """The largest difference; where only one of two is a number, it is infinite."""
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        x, y = (np.asarray(it, np.float64) for it in (a, b))
        if (np.isnan(x) != np.isnan(y)).any():
            return float("inf")
        largest = max(largest, float(np.nanmax(np.abs(x - y), initial=0.0)))
    return largest
