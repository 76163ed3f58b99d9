"""What a target can't run is refused before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifest.test_consistency import problems


@pytest.mark.parametrize(
    ("variant", "path", "text"),
    [
        ({"type": "dynamic_range", "target": "tflm"}, "quantize.0.target", "use int8, or float32"),
        ({"type": "float16", "target": "tflm"}, "quantize.0.target", "tflm has no float16"),
        (
            {"type": "weight_only", "target": "tflm"},
            "quantize.0.target",
            "each time it runs; use int8, or float32",
        ),
        (
            {"type": "dynamic_range", "target": "tflite-2.14", "weight_bits": 4},
            "quantize.0.per_channel",
            'set "per_channel": false',
        ),
        (
            {
                "type": "dynamic_range",
                "target": "tflite-2.14",
                "layers": [{"type": "Dense", "weight_bits": 2}],
            },
            "quantize.0.per_channel",
            "one scale for the whole kernel of a Dense layer",
        ),
        (
            {"type": "dynamic_range", "weight_bits": 8, "blockwise": 32},
            "quantize.0.blockwise",
            'kernels of 4 bits alone have blockwise scales, and these have 8; set "weight_bits": 4',
        ),
        (
            {
                "type": "dynamic_range",
                "weight_bits": 2,
                "layers": [{"type": "Conv2D", "weight_bits": 8}],
                "blockwise": 256,
            },
            "quantize.0.blockwise",
            "and these have 2 and 8",
        ),
        (
            {
                "type": "dynamic_range",
                "target": "tflite-2.14",
                "weight_bits": 4,
                "blockwise": 64,
            },
            "quantize.0.blockwise",
            "tflite-2.14 has no kernels for blockwise scales",
        ),
        (
            {"type": "dynamic_range", "target": "tflm", "weight_bits": 4, "blockwise": 64},
            "quantize.0.target",
            "use int8, or float32",
        ),
        (
            {"type": "dynamic_range", "weight_bits": 4, "blockwise": 48},
            "quantize.0.blockwise",
            "32",
        ),
    ],
)
def test_a_variant_that_its_target_lacks_is_a_problem(
    variant: dict[str, Any], path: str, text: str
) -> None:
    """With the JSON path, and what to ask for."""
    (found,) = problems(quantize=[variant])
    assert found.startswith(f"{path}: ")
    assert text in found


@pytest.mark.parametrize(
    "variant",
    [
        {"type": "int8", "target": "tflm", "c_array": True},
        {"type": "float32", "target": "tflm"},
        {"type": "dynamic_range", "target": "tflite-2.14"},
        {"type": "dynamic_range", "target": "tflite-2.14", "weight_bits": 4, "per_channel": False},
        {"type": "dynamic_range", "target": "litert-2.1", "weight_bits": 4, "slim": True},
        {"type": "dynamic_range", "target": "litert-2.1", "weight_bits": 4, "blockwise": 128},
        {"type": "dynamic_range", "weight_bits": 2, "layers": "auto", "blockwise": 32},
        {
            "type": "dynamic_range",
            "layers": [{"type": "Dense", "weight_bits": 4}],
            "blockwise": 32,
        },
    ],
)
def test_a_variant_that_its_target_runs_is_none(variant: dict[str, Any]) -> None:
    """Also where it is stored in more bits there."""
    assert problems(quantize=[variant]) == []


def test_a_keras_model_has_no_arena() -> None:
    """A gate on it names a variant, or none."""
    gate = {"type": "max_arena_bytes", "value": 1000}
    assert problems(gates=[gate, gate | {"artifact": "dynamic_range"}]) == []
    (found,) = problems(gates=[gate | {"artifact": "prune"}])
    assert found.startswith("gates.0.artifact: prune is a Keras model")
    (found,) = problems(gates=[gate], quantize=[])
    assert found.startswith("gates.0: only a .tflite has an arena")
