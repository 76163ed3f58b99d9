"""A job whose sections fit each other, or every contradiction between them."""

from collections.abc import Iterator
from typing import Any

from job.manifest.gates import (
    BeatsConstantGate,
    MaxDropGate,
    MinClassRecallGate,
    MinValueGate,
)
from job.manifest.job import JobConfig, is_aware
from job.manifest.objective import DistillConfig
from job.manifest.problems import Problem, checked
from job.manifest.quantize import (
    HALF,
    CalibratedConfig,
    DynamicRangeConfig,
    PackedConfig,
    TrainedConfig,
    WeightOnlyConfig,
)
from job.manifest.searchable import search_problems
from job.manifest.targets import target_problems

# Gates on figures that are measured against targets.
LABELLED_GATES = (MaxDropGate, MinValueGate, BeatsConstantGate, MinClassRecallGate)


def checked_job(document: dict[str, Any]) -> JobConfig | list[Problem]:
    """The document as a job; else every problem that it has, within and between sections."""
    job = checked(document, JobConfig)
    if isinstance(job, list):
        return job
    job = _with_variant(job)
    return _inconsistencies(job) or job


def _with_variant(job: JobConfig) -> JobConfig:
    """A search that is judged by the model's own outputs makes a file that computes in float, where
    none is asked for: rounded activations would take most of the loss that is allowed.
    """
    if not job.keeps_outputs or "quantize" in job.model_fields_set:
        return job
    return job.model_copy(update={"quantize": (WeightOnlyConfig(type="weight_only"),)})


def _inconsistencies(job: JobConfig) -> list[Problem]:
    """Every contradiction between the sections, each with its JSON path."""
    return [
        *(*_work(job), *_uris(job), *_objective(job), *_teacher(job), *_small_weights(job)),
        *(*_labels(job), *_no_data(job), *_held_out(job), *_gates(job)),
        *target_problems(job),
        *search_problems(job),
    ]


def _work(job: JobConfig) -> Iterator[Problem]:
    if job.prune is None and job.cluster is None and not job.quantize:
        yield Problem("prune", "prune is null and quantize asks for nothing: no work is left")


def _teacher(job: JobConfig) -> Iterator[Problem]:
    """What a teacher that is trained for the job needs."""
    if job.training.teacher is None:
        return
    path = "training.teacher"
    if job.dataset is None:
        yield Problem(path, "a teacher is trained on rows, and dataset is null; leave it out")
    elif not job.has_train_targets:
        yield Problem(
            path,
            "a teacher is trained on targets, and dataset.train has none; leave it out: without "
            "one, the baseline's outputs are what is learned",
        )
    elif job.objective.type == "supervised":
        yield Problem(
            path,
            "with the objective supervised nothing learns from the teacher; leave objective out, "
            "ask for distill, or leave the teacher out",
        )
    elif job.objective.type == "none":
        yield Problem(path, "with the objective none nothing is trained; leave the teacher out")
    elif job.prune is None and job.cluster is None and not job.aware_variants:
        yield Problem(path, "nothing is trained that could learn from it; leave it out")


def _small_weights(job: JobConfig) -> Iterator[Problem]:
    """Shared sparsities, clusters, and variants that are trained for their grids."""
    prune = job.prune
    if (
        prune is not None
        and prune.allocation != "uniform"
        and prune.structure.type != "unstructured"
    ):
        yield Problem(
            "prune.allocation",
            f"{prune.allocation} compares single weights, and the structure "
            f"{prune.structure.type} prunes groups of them; use uniform, or the structure "
            "unstructured",
        )
    for index, variant in enumerate(job.quantize or ()):
        if not isinstance(variant, TrainedConfig):
            continue
        path = f"quantize.{index}"
        if variant.aware and job.objective.type == "none":
            yield Problem(
                f"{path}.aware",
                "quantization-aware training needs an objective, and it is none, so nothing is "
                "trained; leave aware out, or give a data set and another objective",
            )
        elif variant.epochs is not None and not is_aware(variant):
            yield Problem(
                f"{path}.epochs",
                "these are the epochs of quantization-aware training, which this variant does not "
                'have; set "aware": true, or leave epochs out',
            )
        if isinstance(variant, PackedConfig):
            yield from _widths(job, variant, path)


def _widths(job: JobConfig, variant: PackedConfig, path: str) -> Iterator[Problem]:
    """Weights of three values, which no model survives that is not trained for them; and float16,
    which has no grid to train for, and is not everywhere.
    """
    if variant.aware and set(variant.widths.values()) == {HALF}:
        yield Problem(
            f"{path}.aware",
            "weights of 16 bits are float16, which there is no grid to train for; leave aware out",
        )
    for where, bits in variant.widths.items():
        if bits == HALF and isinstance(variant, DynamicRangeConfig):
            yield Problem(
                f"{path}.{where}",
                "16 bits are float16, which dynamic_range has not; use 8, 4 or 2, or weight_only",
            )
    if is_aware(variant) and job.objective.type != "none":
        return
    why = "aware is false" if variant.aware is False else "the objective is none"
    for where, bits in variant.widths.items():
        if bits == 2:
            yield Problem(
                f"{path}.{where}",
                f"2 bits are three values for each kernel, which need training, and {why}; use 4 "
                "or 8, or train",
            )


def _uris(job: JobConfig) -> Iterator[Problem]:
    uris = {"model": job.model.uri, "destination": job.destination.uri}
    if job.dataset is not None:
        uris["dataset"] = job.dataset.uri
    for section, uri in uris.items():
        known = ("file", "s3") if section == "destination" else ("file", "s3", "https")
        yield from unsupported(f"{section}.uri", uri, known)


def _objective(job: JobConfig) -> Iterator[Problem]:
    """What the objective needs of the data set."""
    has_targets = job.has_train_targets
    path, objective = "training.objective", job.objective
    if job.dataset is None:
        if objective.type != "none":
            yield Problem(
                path,
                f"{objective.type} needs inputs to train on, and dataset is null; leave objective "
                "out, or give a data set",
            )
    elif objective.type == "supervised" and not has_targets:
        yield Problem(
            path,
            "supervised needs targets, and dataset.train has none; name them, or ask for distill, "
            "which needs inputs alone",
        )
    elif isinstance(objective, DistillConfig) and objective.label_weight and not has_targets:
        yield Problem(
            f"{path}.label_weight",
            f"{objective.label_weight:g} of the loss would be that of targets, and dataset.train "
            "has none; name them, or leave label_weight out",
        )
    is_labelled = objective.type == "supervised" or (
        isinstance(objective, DistillConfig) and objective.label_weight > 0
    )
    if job.training.class_weights is not None and not is_labelled:
        yield Problem(
            "training.class_weights",
            f"classes are those of the targets, and the objective {objective.type} does not train "
            "on targets; leave it out",
        )


def _labels(job: JobConfig) -> Iterator[Problem]:
    """Splits of which one has targets and another none; what is measured against targets, where
    the test rows have none.
    """
    held_out = job.dataset.validation if job.dataset else None
    if held_out is not None and job.has_train_targets and not held_out.has_targets:
        yield Problem(
            "dataset.validation.targets",
            "the training rows have targets, and these have none; name them, or leave "
            "dataset.validation out",
        )
    is_labelled = job.has_train_targets or job.has_test_targets
    if held_out is not None and held_out.has_targets and not is_labelled:
        yield Problem(
            "dataset.validation.targets",
            "neither the training rows nor the test rows have targets; leave these out",
        )
    if job.has_test_targets:
        return
    why = "which needs targets, and the test rows have none"
    for index, gate in enumerate(job.gates):
        if isinstance(gate, LABELLED_GATES):
            yield Problem(
                f"gates.{index}",
                f"{gate.type} judges a metric, {why}; min_agreement and min_snr_db need no targets",
            )
    if job.training.metrics is not None:
        yield Problem("training.metrics", f"a metric is asked for, {why}; leave it out")


def _held_out(job: JobConfig) -> Iterator[Problem]:
    """Rows for validation that are asked for twice."""
    data = job.dataset
    if data is None or job.training.validation_split is None:
        return
    other = "dataset.validation" if data.validation is not None else "dataset.split.validation"
    if data.validation is not None or data.validation_share is not None:
        yield Problem(
            "training.validation_split", f"{other} says which rows these are; leave out one of them"
        )


def _no_data(job: JobConfig) -> Iterator[Problem]:
    """What needs data, where there are none; and what is for that case alone."""
    for index, variant in enumerate(job.quantize or ()):
        if not isinstance(variant, CalibratedConfig):
            continue
        path = f"quantize.{index}"
        if job.dataset is None and variant.calibration == "data":
            yield Problem(
                path,
                f"{variant.type} is calibrated on rows of data, and dataset is null; give a data "
                'set, leave it out, or set "calibration": "synthetic" to calibrate it on random '
                "inputs",
            )
        if job.dataset is not None and variant.calibration == "synthetic":
            yield Problem(f"{path}.calibration", "synthetic is for a job whose dataset is null")
    if job.dataset is not None and job.model.input_ranges:
        yield Problem("model.input_ranges", "inputs are only drawn where dataset is null")


def unsupported(path: str, uri: str, known: tuple[str, ...]) -> Iterator[Problem]:
    """The problem of a URI at ``path`` whose scheme is none of those that are known there."""
    scheme, colon, _ = uri.partition("://")
    if colon and scheme.lower() not in known:
        yield Problem(
            path,
            f"{scheme}:// is not supported here; use a path, or a URI that begins with "
            + ", ".join(f"{it}://" for it in known),
        )


def _gates(job: JobConfig) -> Iterator[Problem]:
    made = [*job.models[1:], *job.variants]
    for index, gate in enumerate(job.gates):
        if gate.artifact not in (None, "*", *made):
            yield Problem(
                f"gates.{index}.artifact",
                f"{gate.artifact!r} is not made by this job, which makes {', '.join(made)}",
            )
        measured = _measured(job, getattr(gate, "output", None))
        metric = getattr(gate, "metric", None) or "loss"
        if measured is not None and metric not in measured:
            yield Problem(
                f"gates.{index}.metric",
                f"{metric!r} is not measured, only {', '.join(measured)}; "
                "add it to training.metrics",
            )


def _measured(job: JobConfig, output: str | None) -> list[str] | None:
    """The metrics of an output, or of all; None where the model decides what is measured."""
    metrics = job.training.metrics
    if isinstance(metrics, dict):  # outputs that it does not name have metrics too
        metrics = metrics.get(output or "")
    return None if metrics is None else ["loss", *metrics]
