"""The metadata at the head of a model card, as Hugging Face reads it.

The fields are those of https://huggingface.co/docs/hub/model-cards and of the specification of
``model-index``, https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from job.pages.markdown import one_line
from job.result.result import ArtifactResult, Result

# Keras's names of metrics, as https://huggingface.co/metrics has them.
METRICS = {"mean_absolute_error": "mae", "mean_squared_error": "mse"}
LIBRARIES = {"ai_edge_litert": "tflite", "keras": "keras", "tf_keras": "tf-keras"}
# By the data set's type, what its models do; of others it is not known.
SUBJECTS = {"image_folder": "image", "text": "text", "csv": "tabular", "parquet": "tabular"}
HUB = "huggingface.co"


def metadata(result: Result) -> str:
    """The block of YAML, with its lines of dashes."""
    chosen = result.chosen_artifact
    found: dict[str, Any] = {}
    loaders = [it.usage.loader for it in [chosen or result.artifacts[-1]] if it.usage]
    if loaders:
        found["library_name"] = LIBRARIES[loaders[0]]
    found["tags"] = _tags(result)
    origin = base_model(result)
    if origin:
        found |= {"base_model": origin, "base_model_relation": "quantized"}
    metrics = {it for entry in result.objective.values() for it in entry.metrics}
    if metrics:
        found["metrics"] = sorted(METRICS.get(it, one_line(it)) for it in metrics)
    evaluations = _evaluations(result, chosen) if chosen else []
    if evaluations:
        found["model-index"] = [{"name": one_line(result.name), "results": evaluations}]
    return block(found)


def block(fields: dict[str, Any]) -> str:
    """Fields as YAML between lines of dashes; no line is broken, so that no dashes begin one."""
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=float("inf"))
    return f"---\n{text}---"


def base_model(result: Result) -> str:
    """The model on Hugging Face that came in, ``owner/name``; empty where it is from elsewhere."""
    uri = result.inputs["model"].uri if "model" in result.inputs else ""
    try:
        address = urlsplit(uri)
    except ValueError:
        return ""
    found = re.match(r"/([\w.-]+/[\w.-]+)/resolve/", address.path, re.ASCII)
    return found[1] if found and address.hostname == HUB else ""


def _tags(result: Result) -> list[str]:
    formats = {it.format for it in result.artifacts[1:]}
    stages = {it.stage for it in result.artifacts}
    tags = ["paredown"]
    tags += ["pruning"] if "prune" in stages else []
    tags += ["quantization", "tflite", "litert"] if "tflite" in formats else []
    return tags


def _evaluations(result: Result, artifact: ArtifactResult) -> list[dict[str, Any]]:
    """What the chosen file gets on the test split: quality, or else how often it agrees."""
    figures = [(METRICS.get(name, name), name, value) for name, value in artifact.metrics.items()]
    if not figures:
        figures = [
            ("agreement", f"agreement of {output} with the original model", it.agreement)
            for output, it in artifact.fidelity.items()
            if it.agreement is not None
        ]
    dataset = result.inputs.get("dataset")
    if not figures or dataset is None:
        return []
    kind = str((result.manifest.get("dataset") or {}).get("type", "other"))
    name = PurePosixPath(one_line(dataset.uri)).name or "dataset"
    return [
        {
            "task": {"type": _task(result, kind)},
            "dataset": {"type": kind, "name": name, "split": "test"},
            "metrics": [
                {
                    "type": one_line(metric),
                    "value": value,
                    "name": one_line(f"{shown} ({artifact.name})"),
                }
                for metric, shown, value in figures
            ],
        }
    ]


def _task(result: Result, kind: str) -> str:
    subject = SUBJECTS.get(kind)
    losses = [it.loss for it in result.objective.values()]
    if subject is None or len(losses) != 1:
        return "other"
    if "crossentropy" in losses[0]:
        return f"{subject}-classification"
    return "tabular-regression" if subject == "tabular" else "other"
