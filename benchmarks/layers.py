"""Every layer and every activation of Keras 3 and of Keras 2 through paredown: a table.

    .venv/bin/python benchmarks/layers.py [--only PATTERN] [--convert]

Each is a model of one layer with random weights, saved (Keras 3 as ``.keras``, Keras 2 as ``.h5``),
read as paredown reads it, and called on rows of both signs. The figure is the largest difference
from what the Keras that made it answers. Then every weight is changed, and the model is saved and
read back, which fails where a weight gets into another's place. ``--convert`` makes a float32
``.tflite`` too, and says where that is refused. The exit code is 1 where an answer differs by more
than 1e-5, or something fails without a reason that names the layer.

Files of an older Keras 3 are made by it, and read here:

    pip download --no-deps keras==3.6.0 && unzip -d OLD keras-3.6.0-*.whl
    PYTHONPATH=OLD .venv/bin/python benchmarks/layers.py --write FILES
    .venv/bin/python benchmarks/layers.py --read FILES
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
sys.path.append(str(Path(__file__).parents[1]))

import numpy as np

from tests.support import every_layer as every
from tests.support.layer_variants import KERAS3_VARIANTS, VARIANTS

LIMIT = 1e-5


def lines(kit: Any, *, is_keras3: bool) -> Iterator[tuple[str, every.Sample | None]]:
    """What the table has lines of; a class that has no sample has None."""
    for name in every.classes(kit):
        if name not in every.ABSTRACT and name not in every.CODE and name != "Lambda":
            yield name, every.SAMPLES.get(name)
    more = VARIANTS | (KERAS3_VARIANTS if is_keras3 else {})
    yield from more.items()
    for name in every.activations(kit):
        yield f"activation {name}", every.of_activation(name)


def write(kit: Any, folder: Path, pattern: str) -> int:
    """Write the models of one layer that this Keras can make, and what they answer."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{kit.__name__} {kit.__version__}")
    for line, sample in lines(kit, is_keras3=True):
        if sample is None or sample.is_text or not fnmatch.fnmatch(line, pattern):
            continue
        rows = every.rows_of(sample)
        try:
            model = every.model_of(kit, sample)
            answer = np.asarray(model(rows if len(rows) > 1 else rows[0], training=False))
            model.save(folder / f"{line}.keras")
        except Exception as error:  # noqa: BLE001 - whatever Keras can't do is not ours
            (folder / f"{line}.keras").unlink(missing_ok=True)
            print(f"  {line:<46} not made by Keras: {_first(error)}")
            continue
        np.save(folder / f"{line}.npy", answer)
    return 0


def read_written(kit: Any, folder: Path, pattern: str) -> int:
    """Read what another Keras has written: a table."""
    good = True
    samples = dict(lines(kit, is_keras3=True))
    for path in sorted(folder.glob("*.keras")):
        sample = samples.get(path.stem)
        if sample is None or not fnmatch.fnmatch(path.stem, pattern):
            print(f"  {path.stem:<46} no sample")
            continue
        rows, expected = every.rows_of(sample), np.load(path.with_suffix(".npy"))
        try:
            today = kit.models.load_model(path, compile=False)
            answer = np.asarray(today(rows if len(rows) > 1 else rows[0], training=False))
        except Exception as error:  # noqa: BLE001 - as above
            print(f"  {path.stem:<46} not read by Keras {kit.__version__}: {_first(error)}")
            continue
        note = ""
        if _difference(expected, answer) > LIMIT:  # the reference is what Keras makes of the file
            note, expected = f"; Keras {kit.__version__} itself answers otherwise", answer
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(shutil.copy(path, scratch))
            found = outcome(expected, sample, copy)
        good = good and found[1]
        print(f"  {path.stem:<46} {found[0]}{note}", flush=True)
    return 0 if good else 1


def outcome(expected: Any, sample: every.Sample, path: Path) -> tuple[str, bool]:
    """What becomes of a file: a line, and whether it is as it should be."""
    from job.errors import InputError

    try:
        text, found = _read(expected, sample, path)
    except InputError as error:
        return f"refused: {error}".replace("\n", " | ")[:300], "can't rebuild" not in str(error)
    except Exception as error:  # noqa: BLE001 - a line of the table
        return f"FAILED: {type(error).__name__}: {_first(error)}", False
    return (text, True) if found <= LIMIT else (f"FAILED: {text}", False)


def cell(kit: Any, sample: every.Sample, folder: Path, convert: bool) -> tuple[str, bool]:
    """What becomes of a model of one layer."""
    from job.errors import ParedownError

    try:
        model = every.model_of(kit, sample)
        is_keras3 = kit.__name__ == "keras"
        path = folder / ("m.keras" if is_keras3 else "m.h5")
        model.save(path)
        rows = every.rows_of(sample)
        expected = (
            None
            if sample.is_text
            else np.asarray(model(rows if len(rows) > 1 else rows[0], training=False))
        )
    except Exception as error:  # noqa: BLE001 - whatever Keras can't do is not ours
        return f"not made by Keras: {_first(error)}", True
    try:
        if is_keras3:
            kit.models.load_model(path, compile=False)
    except Exception as error:  # noqa: BLE001 - as above
        return f"not read by Keras itself: {_first(error)}", True
    text, is_right = outcome(expected, sample, path)
    if convert and is_right and not text.startswith("refused"):
        try:
            text += f"; .tflite differs by {_converted(path, sample):.1e}"
        except ParedownError as error:
            text += f"; .tflite refused: {_first(error)[:120]}"
        except Exception as error:  # noqa: BLE001 - the table says so
            return f"FAILED in .tflite: {type(error).__name__} {_first(error)}", False
    return text, is_right


def _read(expected: Any, sample: every.Sample, path: Path) -> tuple[str, float]:
    from job.models.keras3_adapters import Keras3Layer
    from job.models.layers import every_layer, signature
    from job.models.load import read, save

    rows = every.rows_of(sample)
    given = rows if len(rows) > 1 else rows[0]
    file = read(path)
    signature(file.model, path.name)
    apart = _difference(expected, np.asarray(file.model(given, training=False)))
    calls = [it for it in every_layer(file.model) if isinstance(it, Keras3Layer)]
    for weight in file.model.weights:
        weight.assign(weight * 0.5 + 0.1 if weight.dtype.is_floating else weight)
    for layer in file.model.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    expected = np.asarray(file.model(given, training=False))
    saved = save(file.model, file, path.with_stem("saved"))
    again = np.asarray(saved.original(given, training=False))
    way = "calls the Keras 3 layer" if calls else "Keras 2 layer"
    back = _difference(expected, again)
    apart = max(apart, 0.0 if back <= LIMIT * max(1.0, float(np.abs(expected).max())) else back)
    return f"{apart:.1e}  {way}", apart


def _converted(path: Path, sample: every.Sample) -> float:
    from pydantic import TypeAdapter

    from job.manifest.quantize import QuantizeConfig
    from job.models.load import read
    from tests.support.conversion import answers
    from tests.support.conversion import convert as converted

    rows = every.rows_of(sample)
    model = read(path).model
    target = path.with_suffix(".tflite")
    variant: TypeAdapter[Any] = TypeAdapter(QuantizeConfig)
    converted(model, variant.validate_python({"type": "float32"}), rows, target)
    expected = np.asarray(model(rows if len(rows) > 1 else rows[0], training=False))
    return _difference(expected, np.asarray(answers(model, target, rows)))


def _difference(before: Any, after: Any) -> float:
    if before.shape != after.shape:
        return float("inf")
    if before.size == 0:
        return 0.0
    return float(np.abs(before.astype("float64") - after.astype("float64")).max())


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="a pattern of their names")
    parser.add_argument("--kits", nargs="+", default=["keras", "tf_keras"])
    parser.add_argument("--convert", action="store_true", help="make a float32 .tflite, too")
    parser.add_argument("--write", type=Path, help="write the models into a folder")
    parser.add_argument("--read", type=Path, help="read what another Keras has written there")
    asked = parser.parse_args()
    if asked.write or asked.read:
        kit = __import__("keras")
        carry_out = write if asked.write else read_written
        return carry_out(kit, asked.write or asked.read, asked.only)
    good = True
    for name in asked.kits:
        kit = __import__(name)
        print(f"{name} {kit.__version__}")
        for line, sample in lines(kit, is_keras3=name == "keras"):
            if not fnmatch.fnmatch(line, asked.only):
                continue
            with tempfile.TemporaryDirectory() as folder:
                made = ("FAILED: no sample", False)
                if sample is not None:
                    try:
                        made = cell(kit, sample, Path(folder), asked.convert)
                    except Exception as error:  # noqa: BLE001 - a line of the table
                        made = (f"FAILED: {type(error).__name__}: {_first(error)}", False)
            good = good and made[1]
            print(f"  {line:<46} {made[0]}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
