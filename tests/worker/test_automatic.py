"""``layers: "auto"``: the rules follow from what each layer alone can lose."""

from __future__ import annotations

from job.result.result import Result
from tests.conftest import MakeManifest, paredown


def test_layers_have_the_width_that_they_alone_survive(manifest: MakeManifest) -> None:
    """No less than the variant asks for; the file has it, and a stage says the rules."""
    path = manifest(
        training={"epochs": 1, "batch_size": 32},
        prune={"layers": "auto", "allocation": "lamp"},
        quantize=[
            {"type": "dynamic_range", "weight_bits": 2, "layers": "auto", "slim": True},
            {"type": "dynamic_range", "name": "wide", "weight_bits": 8, "layers": "auto"},
        ],
    )
    run = paredown("run", path)
    assert run.code == 0, run.err
    result = Result.model_validate_json((path.parent / "out/result.json").read_bytes())
    assert result.sensitivity is not None
    limit = result.sensitivity.small_drop / 2 + 1e-6
    narrowest = {}
    for layer in result.sensitivity.layers:
        width = 8
        for trial in layer.weight_bits:
            if trial.drop is None or trial.drop > limit:
                break
            width = trial.weight_bits or width
        narrowest[layer.name] = width
    artifact = next(it for it in result.artifacts if it.variant == "dynamic_range")
    assert artifact.packed is not None
    assert {it.layer: it.asked_bits for it in artifact.packed.kernels} == narrowest
    (stage,) = [it for it in result.stages if it.name == "rules"]
    assert len(stage.decisions) == 3
    assert stage.decisions[0].startswith("prune: ")
    assert stage.decisions[2] == "wide: every layer has the width that was asked for"


def test_rules_that_fit_no_layer_are_warned_of(manifest: MakeManifest) -> None:
    """Of clusters and of widths, with their JSON paths, as those of prune are."""
    path = manifest(
        training={"epochs": 1, "batch_size": 32},
        cluster={"layers": [{"type": "Conv9D", "skip": True}]},
        quantize=[
            {
                "type": "dynamic_range",
                "weight_bits": 4,
                "layers": [{"name": "nope", "weight_bits": 8}],
            }
        ],
    )
    run = paredown("run", path)
    assert run.code == 0, run.err
    result = Result.model_validate_json((path.parent / "out/result.json").read_bytes())
    assert "cluster.layers.0 fits no layer (type Conv9D)." in result.warnings
    assert "quantize.0.layers.0 fits no layer (name nope)." in result.warnings
