"""Whether a search fits the rest of a manifest: what it looks for must not be set as well."""

from collections.abc import Iterator

from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.manifest.prune import PruneConfig
from job.manifest.quantize import PackedConfig
from job.manifest.search import OF_METRICS, RangesConfig, SearchConfig

# What of prune and of the variant a search leaves as the manifest has it.
OF_PRUNE = ("layers", "min_weights")
OF_VARIANT = ("name", "target", "batch_size", "c_array")


def search_problems(job: JobConfig) -> Iterator[Problem]:
    """Every contradiction between the search and other sections, each with its JSON path."""
    if job.search is None:
        return
    yield from _fixed(job)
    yield from _loss(job, job.search)
    for index, gate in enumerate(job.gates):
        if gate.artifact in ("prune", "cluster"):
            yield Problem(
                f"gates.{index}.artifact",
                f"a search decides whether a file {gate.artifact} is made; name the variant, or "
                "leave artifact out",
            )
    if job.training.validation_split == 0:
        yield Problem(
            "training.validation_split",
            "a search chooses on held-out rows, and it is 0; leave it out, or set it to 0.1",
        )
    data = job.dataset
    if data and data.validation is None and data.validation_share == 0 and job.is_trained:
        yield Problem(
            "dataset.split.validation",
            "a search chooses on held-out rows, and it is 0; leave it out, or set it to 0.1",
        )
    over = job.search.over
    asks = over.clusters != RangesConfig().clusters and any(over.clusters)
    if 8 not in over.weight_bits and asks:
        yield Problem(
            "search.over.clusters",
            "kernels of 8 bits alone have clusters, and search.over.weight_bits has no 8; add it, "
            "or leave clusters out",
        )
    if job.objective.type == "none" and set(over.weight_bits) == {2}:
        yield Problem(
            "search.over.weight_bits",
            "weights of 2 bits have to be trained, and the objective is none; add 4 or 8",
        )


def _fixed(job: JobConfig) -> Iterator[Problem]:
    """What is set though it is searched."""
    advice = "the search looks for it; leave it out, or leave search out"
    if job.prune is None:
        yield Problem("prune", f"prune is null, and {advice}")
    else:
        for field, plain in PruneConfig():
            if field not in OF_PRUNE and getattr(job.prune, field) != plain:
                yield Problem(f"prune.{field}", advice)
    if job.cluster is not None:
        yield Problem("cluster", advice)
    variants = job.quantize or ()
    if len(variants) != 1 or not isinstance(variants[0], PackedConfig):
        yield Problem(
            "quantize",
            "a search makes one file, dynamic_range or weight_only, and none for tflm; ask for one "
            "of them, leave quantize out, or leave search out",
        )
        return
    (variant,) = variants
    for field, plain in type(variant).model_validate({"type": variant.type}):
        if field not in OF_VARIANT and getattr(variant, field) != plain:
            yield Problem(f"quantize.0.{field}", advice)


def _loss(job: JobConfig, search: SearchConfig) -> Iterator[Problem]:
    """Whether the loss can be measured."""
    is_labelled = job.has_test_targets and job.has_train_targets
    given = [name for name in (*OF_METRICS, "metric") if getattr(search, name) is not None]
    if given and not is_labelled:
        yield Problem(
            f"search.{given[0]}",
            "a metric needs targets, of the training rows and of the test rows; min_agreement and "
            "min_snr_db need none",
        )
    asked = job.training.metrics
    known = ("loss", *asked) if isinstance(asked, list) else None
    if search.metric is not None and known is not None and search.metric not in known:
        yield Problem(
            "search.metric",
            f"{search.metric!r} is not measured, only {', '.join(known)}; add it to "
            "training.metrics",
        )
