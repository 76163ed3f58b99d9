"""Results to make pages of: a real one of the quickstart, and what is made of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from job.result.failure import Failure
from job.result.result import Result

# The outcome of ``make quickstart``, with the picture of its small kernel only.
QUICKSTART = json.loads(Path(__file__).with_name("quickstart.json").read_text())
SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    "\"quotes' & <b>",
    "\u202eright to left \u0645\u0631\u062d\u0628\u0627",
    "\u5377\u79ef\u5c42",
    "n" * 300,
    '"><img src=x onerror=alert(1)>',
    "$x_1^2$ {{ 7 * 7 }} {% raw %}",
]


def document() -> dict[str, Any]:
    """A copy of the quickstart's result, to change."""
    return copy.deepcopy(QUICKSTART)


def quickstart() -> Result:
    """The quickstart's result."""
    return Result.model_validate(QUICKSTART)


def earlier() -> Result:
    """The same as an earlier version wrote it, without the fields that came later."""
    found = document()
    for layer in found["layers"]:
        del layer["kernel_shape"], layer["weights"]
    for artifact in found["artifacts"]:
        del artifact["layer_bits"], artifact["times_smaller"]
    del found["training"]["schedules"], found["trained_for"], found["search"], found["splits"]
    return Result.model_validate(found)


def gate_missed() -> Result:
    """The same, with a gate that no file passes."""
    found = document()
    found |= {"status": "gate_missed", "chosen": None}
    for gate in found["gates"]:
        if gate["gate"]["type"] == "min_ratio":
            gate["passed"] = False
            gate["explanation"] = f"{gate['artifact']}: only {gate['value']:.2f} times smaller"
    return Result.model_validate(found)


def hostile() -> Result:
    """The same, with hostile names of layers, outputs, metrics, classes and addresses."""
    text = json.dumps(document())
    for name, instead in zip(
        ("input_1", "mnist.npz", "mnist_baseline.h5", "the schedule"), HOSTILE, strict=False
    ):
        text = text.replace(json.dumps(name), json.dumps(instead))
    found = json.loads(text)
    layer = found["layers"][0]
    found["layers"] = [{**layer, "name": name, "type": name, "reason": name} for name in HOSTILE]
    for artifact in found["artifacts"]:
        artifact["layer_bits"] = dict.fromkeys(HOSTILE, 8)
        artifact["metrics"] = dict.fromkeys(HOSTILE, 0.5)
        for field in ("fidelity", "per_class"):
            artifact[field] = {name: it for it in artifact[field].values() for name in HOSTILE}
    found["objective"] = {
        name: {**QUICKSTART["objective"]["dense"], "metrics": [name], "reason": name}
        for name in HOSTILE
    }
    found["warnings"] = HOSTILE
    found["retries"] = dict.fromkeys(HOSTILE, 1)
    found["training"]["schedules"][0]["layers"] = HOSTILE
    found["epochs"] = [{"epoch": 1, "metrics": dict.fromkeys(HOSTILE, 0.5)}]
    return Result.model_validate(found)


def of_layers(count: int) -> Result:
    """The same, of a model with so many layers."""
    found = document()
    names = [f"block_{number}/conv2d_{number}" for number in range(count)]
    found["layers"] = [
        {**found["layers"][number % 2], "name": it} for number, it in enumerate(names)
    ]
    for layer in found["layers"]:
        layer["weights"] = {**layer["weights"], "images": []}
    for artifact in found["artifacts"]:
        artifact["layer_bits"] = dict.fromkeys(names, 8)
    found["training"]["schedules"][0]["layers"] = names
    return Result.model_validate(found)


def searched() -> Result:
    """The same, chosen by a search of eight trials."""
    found = document()
    trials = []
    for number in range(1, 9):
        size, drop = 5200 + 500 * number, 0.024 / number
        settings = {"sparsity": 1 - number / 10, "weight_bits": 4, "clusters": None}
        trials.append(
            {
                "number": number,
                "settings": settings | {"epochs": 2, "grid_epochs": 1, "seed": 7},
                "bytes": size,
                "sha256": "0" * 64,
                "value": drop,
                "margin": 0.005 - drop,
                "passed": drop < 0.005,
                "seconds": 1.5,
                "is_on_front": number != 3,
            }
        )
    found["search"] = {
        "gate": {"type": "max_drop", "metric": "accuracy", "value": 0.005},
        "rows": 1000,
        "reference": "the model that came in",
        "trials": trials,
        "chosen": 5,
        "reason": "the smallest that passes",
        "ended": "8 trials were made",
        "sections": {},
    }
    return Result.model_validate(found)


def failure(**fields: Any) -> Failure:
    """A job that failed while it was trained."""
    return Failure.model_validate(
        {
            "name": "quickstart",
            "exit_code": 4,
            "error": "StageError",
            "what": "the loss is not finite after step 12",
            "where": "prune, layer dense",
            "to_do": "lower training.optimizer.learning_rate",
            "at": "2026-11-30T11:10:16+00:00",
            "seconds": 12.25,
            "manifest": QUICKSTART["manifest"],
            "versions": QUICKSTART["versions"],
            "environment": QUICKSTART["environment"],
            "stages": QUICKSTART["stages"][:4],
            "stage": "prune",
            "warnings": ["the data set has 3 duplicate rows"],
        }
        | fields
    )


def only_baseline() -> Result:
    """A job that makes no file of its own."""
    found = document()
    found |= {"artifacts": found["artifacts"][:1], "chosen": None, "gates": []}
    return Result.model_validate(found)


def unlabelled() -> Result:
    """A job whose data have no labels: its files are compared with the baseline alone."""
    found = document()
    for artifact in found["artifacts"]:
        artifact |= {"metrics": {}, "intervals": {}, "drops": {}, "per_class": {}}
    return Result.model_validate(found)


def bare() -> Result:
    """A job that trained nothing and measured nothing but bytes."""
    found = document()
    found |= {"training": None, "epochs": [], "layers": [], "stages": [], "objective": {}}
    found |= {"environment": {}, "gates": []}
    for artifact in found["artifacts"]:
        artifact |= {"latency_ms": {}, "drift": None, "fidelity": {}, "metrics": {}}
    return Result.model_validate(found)


def many_files() -> Result:
    """A job with more variants than there is room for bars."""
    found = document()
    variants = [{**found["artifacts"][3], "variant": f"int8-{place}"} for place in range(30)]
    found |= {"artifacts": found["artifacts"] + variants}
    return Result.model_validate(found)
