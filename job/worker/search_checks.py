"""What a search is refused for before any trial, and what it warns of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from job.errors import InputError
from job.manifest.gates import MinValueGate
from job.manifest.prune import PruneConfig
from job.models import prunable
from job.worker.context import Loaded, Work
from job.worker.judgement import Judgement, MetricGate, unjudged_outputs
from job.worker.verdict import judge


def refuse_unsearchable(work: Work, loaded: Loaded) -> None:
    """Refuse a model of which nothing can be pruned, and rows that do not tell which file is good.

    Raises:
        InputError: With what to do.
    """
    _refuse_nothing_to_prune(work, loaded)
    _refuse_no_rows(loaded)


def _refuse_nothing_to_prune(work: Work, loaded: Loaded) -> None:
    """Refuse a model without a layer that a search could prune, before any trial."""
    plans = prunable.plan_layers(loaded.file.model, work.job.prune or PruneConfig())
    if any(it.target_sparsity is not None for it in plans):
        return
    raise InputError(
        "No layer of the model can be pruned, so there is nothing to search for.",
        where="search",
        hint='Change the rules or min_weights of prune, or leave search out and set "prune": null '
        "to quantize only.",
    )


def _refuse_no_rows(loaded: Loaded) -> None:
    """Refuse to judge files by rows that they were trained on."""
    if loaded.plan is None or loaded.dataset.validation is not None:
        return
    raise InputError(
        f"A search chooses on held-out rows, and of {len(loaded.dataset.train)} training rows none "
        "is held out.",
        where="training.validation_split",
        hint="Give the data set more rows or a validation split, or hold out a larger part.",
    )


def warnings_of(judgement: Judgement) -> Iterator[str]:
    """What the loss says nothing of, and a limit that the model does not reach as it came in."""
    gate = judgement.gate
    if rest := unjudged_outputs(judgement):
        figure = "metric" if isinstance(gate, MetricGate) else "answer to agree with"
        yield (
            f"The search does not look at what {' and '.join(rest)} loses, which has no such "
            f"{figure}. Judge all outputs by the metric loss, or by min_snr_db."
        )
    if isinstance(gate, MinValueGate):
        itself = replace(judgement, gate=gate.model_copy(update={"confidence": None}))
        here = judge(judgement.baseline.artifact, itself)
        if here.margin < 0:
            yield (
                f"The model that came in has {gate.metric} {here.value:.4g} on the held-out rows, "
                f"and min_value asks for {gate.value:g}: a file gets there only if training makes "
                "it better."
            )
