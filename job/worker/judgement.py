"""How the trials of a search are judged: by which figure, on which rows, against what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from job.errors import InputError
from job.manifest.gates import (
    CONFIDENCE,
    MaxDropGate,
    MinAgreementGate,
    MinSnrGate,
    MinValueGate,
    check_drop,
    check_reachable,
)
from job.manifest.job import JobConfig
from job.manifest.keras_names import KnownMetric, lower_is_better
from job.manifest.search import MAX_DROP, MIN_AGREEMENT, MIN_SNR_DB, SearchConfig
from job.metrics.artifact import Evaluator, Measured, measure_model
from job.metrics.interval import MIN_ROWS
from job.metrics.quality import Samples
from job.result.result import ArtifactResult, metric_key
from job.rows.data import Split
from job.stages.compress import compress, too_large
from job.worker.context import Loaded

MetricGate = MaxDropGate | MinValueGate
Gate = MetricGate | MinAgreementGate | MinSnrGate

# The level of the intervals that are judged where the baseline has seen the held-out rows: a file
# that is made from it starts from weights that remember them, and the best of some thirty is lucky.
# (On MNIST such files were 0.1 to 0.4 points worse on test rows; 0.8 was too little for them.)
SEEN_CONFIDENCE = 0.95
# How many times two standard deviations are taken to be more than chance.
SURE = 1.5


@dataclass(frozen=True)
class Judgement:
    """How trials are judged: on held-out rows, against the baseline."""

    gate: Gate
    objective: str
    """Which bytes count: ``smallest_encoding`` or ``file``."""
    evaluator: Evaluator
    """Whose rows are the held-out ones."""
    baseline: Measured
    """The model that came in, on these rows."""
    references: Mapping[str, float]
    """Of ``max_drop``: what a file is compared with, by metric, where that is not the baseline's on
    these rows."""
    why: str
    """Why that is so."""


def gate_of(config: SearchConfig, baseline: ArtifactResult, loaded: Loaded) -> Gate:
    """What files are judged by, as the manifest says or by default.

    Raises:
        InputError: Where the metric is not measured, or there is no answer to agree with.
    """
    answers = loaded.evaluator.answers
    if config.min_agreement is not None:
        if all(it.kind == "numbers" for it in answers.values()):
            why = "; ".join(f"{name}: {it.reason}" for name, it in answers.items())
            raise InputError(
                f"There is no answer to agree with: no output is a distribution ({why}).",
                where="search.min_agreement",
                hint="Use min_snr_db; or, where outputs are logits, say so in training.loss with "
                '"from_logits": true.',
            )
        return MinAgreementGate(type="min_agreement", value=config.min_agreement)
    if config.min_snr_db is not None:
        return MinSnrGate(type="min_snr_db", value=config.min_snr_db)
    if not loaded.evaluator.objectives or not _rows(loaded).targets:
        if any(it.kind != "numbers" for it in answers.values()):
            return MinAgreementGate(type="min_agreement", value=MIN_AGREEMENT)
        return MinSnrGate(type="min_snr_db", value=MIN_SNR_DB)
    measured = measured_metrics(baseline)
    metric = config.metric or measured[0]
    if metric not in measured:
        raise InputError(
            f"{metric!r} is not measured, only {', '.join(measured)}.",
            where="search.metric",
            hint="Name one of these, or add it to training.metrics.",
        )
    if config.min_value is not None:
        _refuse_by(check_reachable, metric, config.min_value, "min_value")
        return MinValueGate(type="min_value", metric=metric, value=config.min_value)
    limit = MAX_DROP if config.max_drop is None else config.max_drop
    _refuse_by(check_drop, metric, limit, "max_drop")
    return MaxDropGate.model_validate({"type": "max_drop", "metric": metric, "value": limit})


def _refuse_by(check: Callable[[str, float], None], metric: str, value: float, field: str) -> None:
    """What the manifest alone does not tell where it names no metric."""
    try:
        check(metric, value)
    except ValueError as error:
        hint = "Ask for a smaller value."
        raise InputError(f"{error}.", where=f"search.{field}", hint=hint) from error


def measured_metrics(baseline: ArtifactResult) -> list[str]:
    """The metrics that a gate may name, as the manifest calls them; ``loss`` is the last."""
    names = [it.name for it in baseline.outputs]
    found = [
        metric
        for name in names
        for key in baseline.metrics
        for metric in get_args(KnownMetric)
        if key == metric_key(metric, name, names)
    ]
    return [*dict.fromkeys(found), "loss"]


def metric_keys(metric: str, baseline: ArtifactResult) -> list[str]:
    """The figures of a metric: one; of several outputs, those of each that has it."""
    if metric in baseline.metrics:  # the metric of the only output, or the total of several
        return [metric]
    names = [it.name for it in baseline.outputs]
    keys = [metric_key(metric, name, names) for name in names]
    return [it for it in keys if it in baseline.metrics]


def unjudged_outputs(judgement: Judgement) -> list[str]:
    """The outputs that the gate says nothing of, since they do not have its figure."""
    gate, baseline = judgement.gate, judgement.baseline.artifact
    if isinstance(gate, MinAgreementGate):
        answers = judgement.evaluator.answers
        return [name for name, it in answers.items() if it.kind == "numbers"]
    if not isinstance(gate, MetricGate) or gate.metric in baseline.metrics:
        return []
    names = [it.name for it in baseline.outputs]
    return [it for it in names if metric_key(gate.metric, it, names) not in baseline.metrics]


def judgement_of(loaded: Loaded, config: SearchConfig, gate: Gate, baseline: Measured) -> Judgement:
    """How trials are judged on the held-out rows.

    A model that came in was most likely trained on all training rows, those that are held out here
    among them, and is better on them than on any others. A file that is made here has not seen them
    for long. So where the baseline is better on them than on the test rows by more than chance,
    files are compared with what it gets on the test rows; and since some of what it remembers is
    left in them, they are judged by an interval, as a ``min_value`` is.

    Args:
        loaded: The inputs.
        config: The search.
        gate: What files are judged by.
        baseline: The model that came in, on the test rows.

    Raises:
        InputError: Where a confidence is asked for, and the rows are too few.
    """
    asked = [] if config.confidence is None else [config.confidence]
    levels = [CONFIDENCE, SEEN_CONFIDENCE, *asked]
    evaluator = replace(
        loaded.evaluator,
        samples=held_out_samples(loaded),
        objectives=loaded.evaluator.objectives if _rows(loaded).targets else {},
        confidences=tuple(dict.fromkeys(levels)),
    )
    here = measure_model(loaded.baseline, evaluator, None, lambda _, __: None)
    references: dict[str, float] = {}
    whys = []
    keys = metric_keys(gate.metric, here.artifact) if isinstance(gate, MetricGate) else []
    for key in keys:
        seen, unseen = here.artifact.metrics[key], baseline.artifact.metrics[key]
        if _is_better(seen, unseen, here, baseline, key):
            references[key] = unseen
            whys.append(
                f"the baseline's {key} is {seen:.4g} on the held-out rows and {unseen:.4g} on the "
                "test rows, which is more than chance: it was trained on the held-out rows"
            )
    if references and isinstance(gate, MaxDropGate):
        whys.append("files are compared with what it gets on the test rows")
    confidence = config.confidence
    if references and confidence is None:
        confidence = SEEN_CONFIDENCE
        whys.append(
            "what is made from it remembers some of these rows, too, so the worse end of the "
            f"{100 * confidence:g} % interval must be within the loss"
        )
    if confidence is not None:
        _refuse_no_interval(gate, here.artifact, keys, confidence, len(_rows(loaded)))
    return Judgement(
        gate=gate.model_copy(update={"confidence": confidence}),
        objective=config.objective,
        evaluator=evaluator,
        baseline=here,
        references=references,
        why="; ".join([*_untrained(loaded), *(whys or [_plain(gate, here.artifact, keys)])]),
    )


def _refuse_no_interval(
    gate: Gate, here: ArtifactResult, keys: Sequence[str], confidence: float, rows: int
) -> None:
    """Refuse a confidence where the rows do not tell how far a figure may be off: no file passes.

    Raises:
        InputError: Where that is so.
    """
    without = [
        key
        for key in keys
        if not any(it.confidence == confidence for it in here.intervals.get(key, []))
    ]
    if isinstance(gate, MinSnrGate) and rows < MIN_ROWS:
        without = ["the signal-to-noise ratio"]
    if without:
        raise InputError(
            f"A confidence is asked for, and {rows} held-out rows give no interval of "
            f"{' and '.join(without)}.",
            where="search.confidence",
            hint=f"Hold out {MIN_ROWS} rows or more, such as by a larger "
            "training.validation_split, or leave confidence out.",
        )


def _untrained(loaded: Loaded) -> list[str]:
    if loaded.dataset.validation is not None:
        return []
    return ["nothing is trained, so no rows are held out: files are judged on the training rows"]


def _plain(gate: Gate, here: ArtifactResult, keys: Sequence[str]) -> str:
    """What files are compared with where the baseline has not seen the rows."""
    if not isinstance(gate, MinValueGate):
        return "files are compared with the baseline on the same rows"
    figures = " and ".join(f"{key} {here.metrics[key]:.4g}" for key in keys)
    return f"the limit is a value of its own; the baseline has {figures} on the same rows"


def _is_better(seen: float, unseen: float, here: Measured, there: Measured, metric: str) -> bool:
    """Whether a metric is better on held-out rows than on test rows by more than chance."""
    if (seen < unseen) != lower_is_better(metric):
        return False
    halves = []
    for it in (here, there):
        found = it.artifact.intervals.get(metric)
        if not found:
            return False
        halves.append((found[0].high - found[0].low) / 2)
    # Each half is about two standard deviations. Three are asked for: where the test rows are only
    # harder, files would be compared with too little.
    return abs(seen - unseen) > SURE * math.hypot(*halves)


def smallest_bytes(path: Path, job: JobConfig, objective: str) -> int:
    """The bytes that count of a file: its own, or those of its smallest encoding."""
    size = path.stat().st_size
    sizes = [size]
    if objective == "smallest_encoding":
        sizes += [compress(path, it).bytes for it in job.codecs if too_large(it, size) is None]
    return min(sizes)


def held_out_samples(loaded: Loaded) -> Samples:
    """The held-out rows, as files are judged on."""
    rows = _rows(loaded)
    return Samples(rows.read, len(rows))


def _rows(loaded: Loaded) -> Split:
    """The held-out rows; where nothing is trained, all training rows."""
    return loaded.dataset.validation or loaded.dataset.train
