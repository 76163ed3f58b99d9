"""One trial of a search: settings -> a job without a search -> a file, judged on held-out rows.

A trial is what an ordinary job of its settings does, with no other code: so the settings that were
chosen, written as a manifest, make the same bytes again.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tf_keras

from job.errors import StageError
from job.events import Journal
from job.manifest.cluster import ClusterConfig
from job.manifest.job import JobConfig
from job.manifest.objective import ObjectiveConfig
from job.manifest.prune import PolynomialDecayConfig, PruneConfig
from job.manifest.quantize import HALF, BitsRule, PackedConfig, WeightOnlyBits, WeightOnlyConfig
from job.manifest.training import CosineDecayConfig, OptimizerConfig
from job.metrics.artifact import measure_tflite
from job.metrics.gates import TOLERANCE
from job.models.kernel_axes import kernel_sizes
from job.models.prunable import exactly
from job.result.artifact import file_digest
from job.result.search import TrialResult, TrialSettings
from job.resume.checkpoints import Checkpoints
from job.stages.compress import Encoder
from job.worker.aware import train_for_grids
from job.worker.clustering import cluster
from job.worker.context import Loaded, Work
from job.worker.convert import Conversion
from job.worker.judgement import Judgement, smallest_bytes
from job.worker.teach import Lessons, Teacher
from job.worker.train import prune
from job.worker.training_plan import Available, plan_training
from job.worker.variants import make_variants
from job.worker.verdict import MOST_DROP, judge
from job.worker.weight_noise import noisiest

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


def small_layers(model: tf_keras.Model) -> list[str]:
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
    """As the manifest says; where outputs are to stay, and there are labels: by default not these,
    which a job without a search would learn.
    """
    given = job.training.objective
    is_found = given is None and job.training.teacher is None
    return "distill" if is_found and job.keeps_outputs and job.has_train_targets else given


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
    # where outputs are to stay, they keep more of them than as many bytes of anything else.
    takes_scales = isinstance(given, WeightOnlyConfig) or given.target != "tflite-2.14"
    cheap = {"slim": True, "per_channel": job.keeps_outputs and takes_scales}
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


@dataclass(frozen=True)
class Bench:
    """What every trial is made with."""

    work: Work
    """The job with the search."""
    loaded: Loaded
    how: Conversion
    teacher: Teacher
    judgement: Judgement
    noisiest: Sequence[str] = ()
    """The layers in the order in which they have more bits."""


def run_trial(bench: Bench, asked: TrialSettings, number: int) -> TrialResult:
    """Make a file with some settings, and judge it; the model's weights are left as they were.

    A stage that fails (a training that diverges) fails with these settings, and may not with
    others: the trial has not passed then, and says why.
    """
    started = time.perf_counter()
    # The original of another library or precision is what files are saved with, and the teacher.
    file = bench.loaded.file
    before = [(model, model.get_weights()) for model in (file.original, file.model)]
    try:
        return _judged(bench, asked, number, started)
    except StageError as error:
        return TrialResult(
            number=number,
            settings=asked,
            failure=error.what,
            bytes=0,
            sha256="",
            value=None,
            margin=-MOST_DROP,
            passed=False,
            seconds=round(time.perf_counter() - started, 3),
        )
    finally:
        for model, weights in before:
            model.set_weights(weights)
        gc.collect()  # graphs and moments hold each other


def _judged(bench: Bench, asked: TrialSettings, number: int, started: float) -> TrialResult:
    judgement = bench.judgement
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        path, trained_s = _make(bench, asked, Path(folder))
        size = smallest_bytes(path, bench.work.job, judgement.objective)
        artifact = measure_tflite(
            *(path, path.stem, judgement.evaluator, judgement.baseline, judgement.baseline),
            lambda _, __: None,
        )
        digest = file_digest(path)[1]
    verdict = judge(artifact, judgement)
    return TrialResult(
        number=number,
        settings=asked,
        bytes=size,
        sha256=digest,
        value=verdict.value,
        bound=verdict.bound,
        margin=verdict.margin,
        passed=verdict.margin >= -TOLERANCE,
        metrics=artifact.metrics,
        seconds=round(time.perf_counter() - started, 3),
        trained_s=round(trained_s, 3),
    )


def _make(bench: Bench, asked: TrialSettings, folder: Path) -> tuple[Path, float]:
    """The file of a trial, by the stages of an ordinary job, which report and save nothing; and the
    seconds of its trainings.
    """
    model = bench.loaded.file.model
    wide = noisiest(model, bench.noisiest, asked.wide)
    names = kernel_sizes(model)
    job = settings_of(bench.work.job, asked, small_layers(model), wide, names)
    output, saved = folder / "output", folder / "checkpoints"
    for it in (output, saved):
        it.mkdir()
    silent = Journal(lambda _: None)
    checkpoints = Checkpoints(saved, silent, float("inf"))
    trial = replace(
        bench.work,
        job=job,
        output=output,
        journal=silent,
        checkpoints=checkpoints,
        is_trial=True,
        encoder=Encoder((), 1),  # the files of a trial are not published
    )
    tf_keras.utils.set_random_seed(job.training.seed)
    loaded = replace(bench.loaded, plan=planned_for(job, bench.loaded))
    lessons = Lessons(trial, loaded, bench.teacher)
    started = time.perf_counter()
    pruned = prune(trial, loaded, lessons)
    clustered = cluster(trial, loaded, pruned, lessons)
    trained = train_for_grids(trial, clustered, lessons)
    trained_s = time.perf_counter() - started
    (made,) = make_variants(trial, loaded, clustered.model, bench.how, trained).values()
    return made.path, trained_s


def planned_for(job: JobConfig, loaded: Loaded) -> Any:
    """How long a job of other settings trains; None where nothing is trained."""
    if loaded.plan is None:
        return None
    rows, validation = loaded.plan.rows + loaded.plan.held_out, loaded.dataset.validation
    given = len(validation) if validation is not None and not loaded.plan.held_out else 0
    share = job.dataset.split.validation if job.dataset and job.dataset.split else None
    available = Available(rows, given, share, most=loaded.plan.held_out)
    return plan_training(job.training, job.prune, available, trains_again=job.trains_again)
