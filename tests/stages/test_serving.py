"""A file's signature has the model's names, whatever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.stages.quantize import quantize
from job.stages.serving import names_for, with_names_of
from tests.stages.test_quantize import variant

layers = tf_keras.layers
NAMES = ("Age", "age", "a b/c.d[0]", "größe:年龄", "_hidden", "1st", "class", "x0", "n" * 300)


def model(names: tuple[str, ...]) -> tf_keras.Model:
    """Each output depends on one input, and has its name."""
    given = {name: tf_keras.Input((2,), name=name) for name in names}
    scales = {name: 10.0**place for place, name in enumerate(sorted(names))}
    ends = {
        name: layers.Dense(
            1, use_bias=False, kernel_initializer=tf_keras.initializers.Constant(scales[name])
        )(tensor)
        for name, tensor in given.items()
    }
    return tf_keras.Model(list(given.values()), ends)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_file_has_the_models_names(kind: str, tmp_path: Path) -> None:
    """In its signature, for the right tensors: each output is ten times the one before."""
    built = model(NAMES)
    built.output_names = sorted(NAMES)  # as prepare does
    random = np.random.default_rng(0)
    rows = tuple(random.uniform(0, 1, (20, 2)).astype("float32") for _ in NAMES)
    quantize(built, variant(kind), rows, tmp_path / "m.tflite")
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    runner = interpreter.get_signature_runner("serving_default")
    taken, answered = runner.get_input_details(), runner.get_output_details()
    assert set(taken) == set(answered) == set(NAMES)
    described = {it["name"] for it in interpreter.get_input_details()}
    assert described == {f"serving_default_{name}:0" for name in NAMES}
    fed = {}
    for place, (name, array) in enumerate(zip(NAMES, rows, strict=True)):
        scale, zero = taken[name]["quantization"]
        if kind == "int8":
            assert scale == pytest.approx(array.max() / 255, rel=1e-3), place
        value = np.rint(array[:1] / scale) + zero if scale else array[:1]
        fed[name] = value.astype(taken[name]["dtype"])
    found = runner(**fed)
    for place, name in enumerate(sorted(NAMES)):
        wanted = rows[NAMES.index(name)][0].sum() * 10.0**place
        scale, zero = answered[name]["quantization"]
        value = found[name].item()
        value = (value - zero) * scale if scale else value
        assert value == pytest.approx(wanted, rel=0.05 if scale else 1e-5), name


class _Named:
    """Only a model's names."""

    def __init__(self, names: list[str]) -> None:
        self.input_names = self.output_names = names


def test_a_file_with_plain_names_is_not_changed(tmp_path: Path) -> None:
    """So the files of most models are the converter's; unexpected names are an error."""
    plain = model(("picture", "hint_2"))
    names = names_for(plain)
    assert names.inputs == ("picture", "hint_2")
    quantize(plain, variant("float32"), (), tmp_path / "m.tflite")
    content = (tmp_path / "m.tflite").read_bytes()
    assert with_names_of(plain, names, content) == content
    for name in ("Age", "_a", "1a", "a.b", "a b", "class", "", "é"):
        assert names_for(_Named([name, "plain"])).inputs == ("x0", "x1")
    with pytest.raises(ValueError, match="renamed"):
        with_names_of(_Named(["one", "two"]), names_for(_Named(["one", "two"])), content)
