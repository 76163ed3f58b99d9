"""The job that a trial of a search is: the manifest's, with settings in place of the search."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from job.manifest.cluster import ClusterConfig
from job.manifest.job import JobConfig
from job.manifest.objective import ObjectiveConfig
from job.manifest.prune import PolynomialDecayConfig, PruneConfig
from job.manifest.quantize import HALF, BitsRule, PackedConfig, WeightOnlyBits, WeightOnlyConfig
from job.manifest.training import CosineDecayConfig, OptimizerConfig
from job.models.kernel_axes import kernel_sizes
from job.models.prunable import exactly
from job.result.search import TrialSettings

# Where the pruning schedule of a trial ends, as a share of its steps: what was cut has to heal.
PRUNED_AFTER = 0.75
# A layer with less than this share of the weights has 4 bits where the others have 2: it loses more
# by a coarse grid than it saves.
SMALL_SHARE = 0.02
BITS_OF_SMALL: WeightOnlyBits = 4
# Adam's learning rate, which falls to zero by a cosine, where the manifest has no optimizer.
LEARNING_RATE = 0.002
# The same where the model's own outputs are to stay: larger steps move them further than few
# epochs can bring them back.
CAREFUL_LEARNING_RATE = 0.0001


def small_layers(model: Any) -> list[str]:
    """The layers with a small share of the weights, by the names that the user knows."""
    sizes = kernel_sizes(model)
    total = sum(sizes.values())
    return [name for name, size in sizes.items() if size < SMALL_SHARE * total]


def settings_of(
    job: JobConfig,
    asked: TrialSettings,
    small: Sequence[str],
    wide: Sequence[str] = (),
    names: Collection[str] = (),
) -> JobConfig:
    """The job that a trial is: the manifest's, with settings instead of its search.

    Args:
        job: The manifest.
        asked: The settings.
        small: The names of layers with a small share of the weights.
        wide: The names of layers of more bits.
        names: Those of all layers.
    """
    trained = {
        "optimizer": optimizer_of(job),
        "freeze_batch_normalization": _freezes(job),
        "objective": _objective(job),
    }
    training = job.training.model_copy(
        update={
            "epochs": asked.epochs or None,
            "teacher": job.training.teacher if asked.all_epochs else None,
            "shuffle_seed": None if asked.seed == job.training.seed else asked.seed,
            **(trained if asked.epochs else {}),
        }
    )
    given = job.prune or PruneConfig()
    pruned = given.model_copy(
        update={
            "allocation": "lamp",
            "schedule": PolynomialDecayConfig(
                type="polynomial_decay",
                initial_sparsity=0.0,
                final_sparsity=asked.sparsity,
                end_step=PRUNED_AFTER,
            ),
        }
    )
    return job.model_copy(
        update={
            "search": None,
            "training": training,
            "prune": pruned if asked.is_pruned else None,
            "cluster": _clusters(asked),
            "quantize": (_variant(job, asked, small, wide, names),),
        }
    )


def _clusters(asked: TrialSettings) -> ClusterConfig | None:
    if asked.clusters is None:
        return None
    return ClusterConfig(number_of_clusters=asked.clusters, epochs=asked.grid_epochs or None)


def optimizer_of(job: JobConfig) -> OptimizerConfig:
    """The optimizer of every training of a search: of its teacher's, too, so that the sections of a
    manifest that make the same file are complete.
    """
    given = job.training.optimizer
    if given != OptimizerConfig() or job.search is None:
        return given
    return OptimizerConfig(
        learning_rate=CAREFUL_LEARNING_RATE if job.keeps_outputs else LEARNING_RATE,
        learning_rate_schedule=CosineDecayConfig(type="cosine_decay"),
    )


def _objective(job: JobConfig) -> ObjectiveConfig | None:
    """As the manifest says; by default, where outputs are to stay, not the labels, if any."""
    given, keeps = job.training.objective, job.keeps_outputs and job.has_train_targets
    return "distill" if keeps and given is None and job.training.teacher is None else given


def _freezes(job: JobConfig) -> bool | None:
    """Whether a trial starts from the model's own outputs, as the manifest says or by default."""
    given = job.training.freeze_batch_normalization
    return True if given is None and job.keeps_outputs else given


def _variant(
    job: JobConfig,
    asked: TrialSettings,
    small: Sequence[str],
    wide: Sequence[str],
    names: Collection[str],
) -> PackedConfig:
    (given,) = job.quantize or ()
    assert isinstance(given, PackedConfig)  # see manifest/consistency.py
    others: dict[str, WeightOnlyBits] = {}
    if asked.weight_bits < BITS_OF_SMALL:
        others = dict.fromkeys(small, BITS_OF_SMALL)
    others |= dict.fromkeys(wide, asked.wider_bits)
    rules = tuple(
        BitsRule(name=exactly(name, names), weight_bits=bits) for name, bits in others.items()
    )
    # One scale for a kernel: the scales of its channels would take more bytes than they save; but
    # where outputs are to stay, they keep more of them than as many bytes of anything else. They
    # would make many values of few, so not of clusters.
    can_scale = isinstance(given, WeightOnlyConfig) or given.target != "tflite-2.14"
    has_scales = job.keeps_outputs and can_scale and not asked.clusters
    cheap = {"slim": True, "per_channel": has_scales}
    on_grid = 0 if asked.clusters else asked.grid_epochs
    trained = {
        "aware": True if on_grid else None,
        "weight_bits": HALF if asked.wide == 1 else asked.weight_bits,
        "layers": () if asked.wide == 1 else rules,
        "epochs": on_grid or None,
    }
    return given.model_copy(update=trained | cheap)


def sections_of(job: JobConfig) -> dict[str, Any]:
    """The sections of a manifest that make the same file without a search."""
    return job.model_dump(
        mode="json", include={"training", "prune", "cluster", "quantize"}, exclude_defaults=True
    )
