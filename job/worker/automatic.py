"""``layers: "auto"``: the rules of prune and quantize, from what each layer alone can lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from job.manifest.job import JobConfig
from job.manifest.prune import LayerRule
from job.manifest.quantize import BitsRule, PackedConfig, QuantizeConfig
from job.manifest.sensitivity import SensitivityConfig
from job.models.prunable import exactly
from job.result.layer_trials import Choice, SensitivityResult, automatic
from job.worker.context import Loaded, Work
from job.worker.sensitivity import sensitivity

AUTO = "auto"
WIDEST = 8


def with_rules(work: Work, loaded: Loaded) -> tuple[Work, SensitivityResult | None]:
    """The job with rules in place of ``auto``; and the sensitivity, where it was measured.

    To be called before anything changes the model's weights.
    """
    if not _asks(work.job):
        return work, sensitivity(work, loaded)
    config = work.job.sensitivity or SensitivityConfig()
    job = work.job.model_copy(update={"sensitivity": config})
    found = sensitivity(replace(work, job=job), loaded)
    assert found is not None
    choices = automatic(found.layers, found.small_drop)
    ruled = _ruled(work.job, choices)
    with work.journal.stage("rules") as stage:
        stage.decide(*_described(work.job, ruled))
    return replace(work, job=ruled), found


def _asks(job: JobConfig) -> bool:
    of_prune = job.prune is not None and job.prune.layers == AUTO
    return of_prune or any(getattr(it, "layers", ()) == AUTO for it in job.quantize or ())


def _ruled(job: JobConfig, choices: Mapping[str, Choice]) -> JobConfig:
    update: dict[str, Any] = {}
    if job.prune is not None and job.prune.layers == AUTO:
        skipped = tuple(
            LayerRule(name=exactly(name, choices), skip=True)
            for name, it in choices.items()
            if it.sparsity is None
        )
        update["prune"] = job.prune.model_copy(update={"layers": skipped})
    if job.quantize:
        update["quantize"] = tuple(_with_widths(it, choices) for it in job.quantize)
    return job.model_copy(update=update)


def _with_widths(variant: QuantizeConfig, choices: Mapping[str, Choice]) -> QuantizeConfig:
    if not isinstance(variant, PackedConfig) or variant.layers != AUTO:
        return variant
    widths = {
        name: max(variant.weight_bits, it.weight_bits or WIDEST) for name, it in choices.items()
    }
    rules = tuple(
        BitsRule.model_validate({"name": exactly(name, choices), "weight_bits": bits})
        for name, bits in widths.items()
        if bits != variant.weight_bits
    )
    return variant.model_copy(update={"layers": rules})


def _described(asked: JobConfig, ruled: JobConfig) -> list[str]:
    """What the rules are, as sentences."""
    said = []
    if asked.prune is not None and asked.prune.layers == AUTO:
        assert ruled.prune is not None
        names = [rule.name or "" for rule in ruled.prune.layers if isinstance(rule, LayerRule)]
        what = f"not pruned: {', '.join(names)}" if names else "every layer is pruned"
        said.append(f"prune: {what}; the others lose little at the lowest sparsity, alone")
    for name, variant in asked.variants.items():
        if getattr(variant, "layers", ()) == AUTO:
            rules = getattr(ruled.variants[name], "layers", ())
            listed = ", ".join(f"{it.name} {it.weight_bits} bits" for it in rules)
            said.append(f"{name}: {listed or 'every layer has the width that was asked for'}")
    return said
