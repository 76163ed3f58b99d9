"""How to use each file: the lines of Python are run, those of C++ are compiled."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.manifest.compress import ENCODINGS
from job.pages.usage import Usage, usages
from job.result.result import ArtifactResult, Result
from tests.conftest import ROOT
from tests.support.published import publish_all
from tests.support.required import lacking
from tests.support.two_ends import SPLITS, write_two_ends

VARIANTS = [
    {"type": "dynamic_range"},
    {"type": "int8", "input_dtype": "int8", "output_dtype": "int8"},
    {"type": "float32", "name": "slim", "slim": True},
    {"type": "int8", "name": "one_row", "slim": True, "batch_size": 1, "c_array": True},
    {"type": "int8", "name": "micro", "target": "tflm", "c_array": True},
    {"type": "float32", "name": "four", "batch_size": 4},
]


@dataclass(frozen=True)
class Real:
    """What a run has left."""

    folder: Path
    result: Result
    data: Any


@pytest.fixture(scope="module")
def real(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Real]:
    """Runs of a CNN, a SavedModel, a Keras 3 model of two inputs, and an LSTM."""
    import tf_keras

    folder = tmp_path_factory.mktemp("usages")
    tf_keras.models.load_model(tiny / "model.h5").save(folder / "model", save_format="tf")
    write_two_ends(folder)
    _recurrent(folder)
    jobs: dict[str, dict[str, Any]] = {
        "cnn": {"compress": {"codecs": list(ENCODINGS)}, "quantize": VARIANTS},
        "saved": {
            "model": {"uri": str(folder / "model")},
            "compress": {"codecs": ["xz"]},
            "quantize": None,
        },
        "two": {
            "model": {"uri": str(folder / "two.keras")},
            "dataset": {"uri": str(folder / "two.npz"), "scale": 1 / 255, **SPLITS},
            "quantize": [VARIANTS[1], VARIANTS[2]],
        },
        "steps": {
            "model": {"uri": str(folder / "steps.h5")},
            "dataset": {"uri": str(folder / "steps.npz")},
            "compress": {"codecs": ["brotli"]},
            "quantize": [{"type": "float32"}],
        },
    }
    done = publish_all(jobs, tiny, folder)
    data = {"cnn": tiny / "data.npz", "saved": tiny / "data.npz"}
    return {
        name: Real(
            it.folder,
            Result.model_validate(it.result),
            np.load(data.get(name, folder / f"{name}.npz")),
        )
        for name, it in done.items()
    }


def _recurrent(folder: Path) -> None:
    import tf_keras

    random = np.random.default_rng(5)
    rows = {
        split: random.normal(size=(count, 5, 3)).astype(np.float32)
        for split, count in (("train", 64), ("test", 12))
    }
    data = {f"x_{split}": it for split, it in rows.items()}
    data |= {f"y_{split}": it.sum((1, 2)) for split, it in rows.items()}
    np.savez(folder / "steps.npz", **data)  # type: ignore[arg-type]
    tf_keras.utils.set_random_seed(5)
    given = tf_keras.Input((5, 3), name="steps")
    last = tf_keras.layers.Dense(1, name="sum")(tf_keras.layers.LSTM(8)(given))
    tf_keras.Model(given, last).save(folder / "steps.h5")


def lines(usage: Usage, language: str) -> str:
    """The lines of a language."""
    (found,) = [it.code for it in usage.snippets if it.language == language]
    return found


def answers(code: str, folder: Path, rows: str, scratch: Path) -> list[np.ndarray[Any, Any]]:
    """Run lines in a process that knows nothing of this project; their outputs.

    Args:
        code: The lines.
        folder: Where the files are.
        rows: An expression of the rows, of ``data``.
        scratch: An empty folder.
    """
    data = scratch / "answers.npz"
    ending = f"""
given = np.load({str(scratch / "rows.npz")!r})
found = predict({rows})
found = list(found.values()) if isinstance(found, dict) else found
found = found if isinstance(found, list | tuple) else [found]
np.savez({str(data)!r}, *found)
"""
    (scratch / "lines.py").write_text(code + ending)
    command = [sys.executable, "-I", str(scratch / "lines.py")]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(data) as found:
        return [found[name] for name in found.files]


def with_rows(scratch: Path, **arrays: Any) -> Path:
    """A folder with the rows of a call."""
    scratch.mkdir(parents=True)
    np.savez(scratch / "rows.npz", **arrays)
    return scratch


def as_encoded(result: Result, artifact: ArtifactResult, codec: str) -> Usage:
    """How to use an artifact that has one encoding alone."""
    alone = artifact.model_copy(
        update={"encoded": {codec: artifact.encoded[codec].model_copy(update={"bytes": 1})}}
    )
    return usages(result.model_copy(update={"artifacts": [alone]}))[0]


def named(result: Result, name: str) -> ArtifactResult:
    """An artifact."""
    (found,) = [it for it in result.artifacts if it.name == name]
    return found


def test_each_file_of_a_run_answers_as_it_was_measured(
    real: dict[str, Real], tmp_path: Path
) -> None:
    """Keras and .tflite; float, quantized, without names, of one row and of four."""
    done = real["cnn"]
    labels = done.data["y_test"]
    for usage in usages(done.result):
        artifact = named(done.result, usage.artifact)
        assert usage.path == artifact.smallest_path
        scratch = with_rows(tmp_path / usage.artifact, x=done.data["x_test"])
        (found,) = answers(lines(usage, "python"), done.folder, 'given["x"]', scratch)
        right = (found.argmax(-1) == labels).mean()
        assert right == pytest.approx(artifact.metrics["accuracy"], abs=1e-6), usage.artifact


@pytest.mark.parametrize("codec", ENCODINGS)
def test_each_encoding_is_decoded(codec: str, real: dict[str, Real], tmp_path: Path) -> None:
    """The same answers, whatever the file was encoded with."""
    done = real["cnn"]
    usage = as_encoded(done.result, named(done.result, "int8"), codec)
    assert usage.path.endswith(ENCODINGS[codec].suffix)
    scratch = with_rows(tmp_path / "rows", x=done.data["x_test"])
    (found,) = answers(lines(usage, "python"), done.folder, 'given["x"]', scratch)
    right = (found.argmax(-1) == done.data["y_test"]).mean()
    assert right == pytest.approx(named(done.result, "int8").metrics["accuracy"], abs=1e-6)


@pytest.mark.parametrize("name", ["baseline", "prune"])
def test_a_saved_model_is_unpacked_and_loaded(
    name: str, real: dict[str, Real], tmp_path: Path
) -> None:
    """From a tar in xz."""
    done = real["saved"]
    (usage,) = [it for it in usages(done.result) if it.artifact == name]
    assert 'extractall(folder, filter="data")' in lines(usage, "python")
    scratch = with_rows(tmp_path / "rows", x=done.data["x_test"])
    (found,) = answers(lines(usage, "python"), done.folder, 'given["x"]', scratch)
    right = (found.argmax(-1) == done.data["y_test"]).mean()
    assert right == pytest.approx(named(done.result, name).metrics["accuracy"], abs=1e-6)


@pytest.mark.parametrize("name", ["prune", "int8", "slim"])
def test_several_inputs_and_outputs_are_told_apart(
    name: str, real: dict[str, Real], tmp_path: Path
) -> None:
    """A Keras 3 model; an index is not scaled, a picture is."""
    done = real["two"]
    (usage,) = [it for it in usages(done.result) if it.artifact == name]
    scratch = with_rows(
        tmp_path / "rows", picture=done.data["picture_test"], kind=done.data["kind_test"]
    )
    found = answers(lines(usage, "python"), done.folder, "given", scratch)
    artifact = named(done.result, name)
    by_name = dict(zip([it.name for it in artifact.outputs], found, strict=True))
    right = (by_name["side"].argmax(-1) == done.data["side_test"]).mean()
    assert right == pytest.approx(artifact.metrics["side_accuracy"], abs=1e-6)
    error = np.abs(by_name["size"][:, 0] - done.data["size_test"]).mean()
    assert error == pytest.approx(artifact.metrics["size_mean_absolute_error"], rel=1e-3)


@pytest.mark.parametrize("name", ["prune", "float32"])
def test_a_state_is_reset_before_each_row(name: str, real: dict[str, Real], tmp_path: Path) -> None:
    """An LSTM, from brotli."""
    done = real["steps"]
    (usage,) = [it for it in usages(done.result) if it.artifact == name]
    scratch = with_rows(tmp_path / "rows", x=done.data["x_test"])
    (found,) = answers(lines(usage, "python"), done.folder, 'given["x"]', scratch)
    error = np.abs(found[:, 0] - done.data["y_test"]).mean()
    measured = named(done.result, name).metrics["mean_absolute_error"]
    assert error == pytest.approx(measured, rel=1e-4)
    assert ("reset_all_variables()" in lines(usage, "python")) == (name == "float32")


def test_the_lines_of_python_are_formatted(real: dict[str, Real], tmp_path: Path) -> None:
    """As ruff formats them."""
    for name, done in real.items():
        for usage in usages(done.result):
            (tmp_path / f"{name}_{usage.artifact}.py").write_text(lines(usage, "python"))
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "format", "--isolated", "--line-length=100", "--diff", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def compiled(codes: Sequence[str], scratch: Path) -> None:
    """Check programs in C++ with a compiler, as functions of one file; declarations stand in for
    headers that are not installed.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        lacking("g++", "there is no C++ compiler")
    renamed = [
        code.replace("int main() {", f"int main_{index}() {{") for index, code in enumerate(codes)
    ]
    (scratch / "lines.cc").write_text("\n".join(renamed))
    declared = ROOT / "tests" / "pages" / "declarations"
    command = [compiler, "-std=c++17", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused-variable"]
    command += ["-Wno-return-type", "-idirafter", str(declared), str(scratch / "lines.cc")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_lines_of_cpp_compile(real: dict[str, Real], tmp_path: Path) -> None:
    """Each .tflite of the runs: with a C array, with a state, with several inputs."""
    found = [
        snippet.code
        for done in real.values()
        for usage in usages(done.result)
        for snippet in usage.snippets
        if snippet.language == "cpp"
    ]
    assert len(found) == 9
    compiled(found, tmp_path)
    done = real["cnn"]
    micro, array = (
        lines(next(it for it in usages(done.result) if it.artifact == name), "cpp")
        for name in ("micro", "one_row")
    )
    assert "MicroInterpreter" in micro
    assert "reinterpret_cast<const char*>(one_row_tflite)" in array


def test_cpp_decodes_each_encoding(real: dict[str, Real], tmp_path: Path) -> None:
    """The lines compile."""
    done = real["cnn"]
    artifact = named(done.result, "int8")
    found = [lines(as_encoded(done.result, artifact, codec), "cpp") for codec in ENCODINGS]
    compiled(found, tmp_path)


def without_comments(code: str) -> Sequence[str]:
    """Lines, but those that are a comment."""
    return [it for it in code.split("\n") if not it.strip().startswith("//")]


def test_the_lines_of_kotlin_are_balanced(real: dict[str, Real]) -> None:
    """Brackets close, and no string has a template."""
    for done in real.values():
        for usage in usages(done.result):
            for snippet in usage.snippets:
                if snippet.language == "kotlin":
                    code = "\n".join(without_comments(snippet.code))
                    assert all(code.count(a) == code.count(b) for a, b in ("()", "[]", "{}"))
                    assert "$" not in code
