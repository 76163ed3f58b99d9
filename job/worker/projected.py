"""A projected training of a Keras model: which kernels, to what, when; and the training itself.

The mechanism is in ``stages/projected_step.py``. Pruning by shared targets, clustering,
quantization-aware training and the search all train this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import tf_keras

from job.events import Stage
from job.manifest.training import OptimizerConfig
from job.metrics.quality import evaluate, keras_predictor
from job.models import prunable
from job.models.kernel_axes import channel_axes, dense_kernels, quantized_kernels
from job.models.layers import layers_of
from job.objective.losses import compile_options
from job.result.training import EpochResult, RunOfTrainingResult
from job.stages import constraints
from job.stages.fine_tune import NOT_SAVED, TrainingSettings, fine_tune, make_optimizer
from job.stages.projected_step import Bits, Init, Kernel, Projection, ProjectionSchedule
from job.stages.training_state import LOSS, BestEpoch, Saves, best
from job.tflite.blocks import BITS, why_not
from job.worker.teach import Lesson


@dataclass(frozen=True)
class LayerTarget:
    """What the kernels of a layer are to be; see ``projected_step.Kernel``."""

    sparsity: float | None = None
    """The fraction of zeros of each of its kernels; None: no more than there are."""
    is_allocated: bool = False
    """Whether ``sparsity`` is that of all such layers together."""
    bits: Bits | None = None
    """The grid's; None for float values."""
    clusters: int | None = None
    """Distinct values, zero among them."""
    per_channel: bool = True
    """Whether the grid has a scale for each output channel, where the file has."""
    block: int | None = None
    """How many weights of an output of a Dense layer share a scale, at 4 bits, where rows are a
    multiple of it."""
    keeps_zeros: bool = True
    """Without ``sparsity``: whether weights that are zero at the start stay zero."""


@dataclass(frozen=True)
class ProjectedSettings:
    """How a projected training goes."""

    epochs: int
    steps_per_epoch: int
    schedule: ProjectionSchedule
    seed: int
    allocation: str = "global"
    init: Init = "kmeans_plus_plus"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    patience: int | None = None
    """Epochs without a better loss after which the training ends; None: never."""
    freezes: bool = False
    """Whether ``BatchNormalization`` runs as in inference."""

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.epochs * self.steps_per_epoch

    @property
    def first_epoch(self) -> int:
        """The first epoch at whose end the weights are what was asked for, from 1 on."""
        return min(self.epochs, -(-self.schedule.settled_step // self.steps_per_epoch))


def projected_training(
    model: tf_keras.Model,
    targets: Mapping[str, LayerTarget],
    settings: ProjectedSettings,
    lesson: Lesson,
    stage: Stage,
    saves: Saves = NOT_SAVED,
) -> list[EpochResult]:
    """Train a model whose kernels end as values that a small file can hold.

    Args:
        model: The model; its weights are changed, to those of the best epoch.
        targets: Layer path (``branch/dense``) -> what its kernels are to be. Other layers are
            trained as they are.
        settings: How long, when, and from which seed.
        lesson: What it is trained for.
        stage: Reports progress.
        saves: Where the training's states are saved.

    Returns:
        The epochs, with the metrics of each.

    Raises:
        StageError: Where the training diverges.
    """
    kernels = kernels_of(model, targets)
    trained = shared_copy(model)
    trained.output_names = list(lesson.objectives)  # Keras calls metrics by them
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    trained.compile(optimizer, **compile_options(trained, lesson.objectives))
    projection = Projection(
        kernels, settings.schedule, settings.allocation, settings.init, settings.seed
    )
    projection.attach(trained)
    coarse = [it.variable for it in kernels if it.bits or it.clusters]
    predict = keras_predictor(model)

    def end_epoch(save_if_due: Callable[[], None]) -> dict[str, float]:
        constraints.apply(trained, leave=coarse)
        if lesson.held_out is None:
            return {}
        return evaluate(
            predict, lesson.held_out, lesson.objectives, lambda _, __: save_if_due()
        ).metrics

    chosen = BestEpoch(model.weights, settings.first_epoch, settings.patience)
    length = TrainingSettings(
        *(settings.steps_per_epoch, settings.epochs, settings.seed, chosen, settings.freezes)
    )
    history = fine_tune(trained, lesson.batches, length, end_epoch, stage, saves)
    trained._clear_losses()  # noqa: SLF001 - tensors of the training's graph, which they would hold
    return history


def project_at_once(
    model: tf_keras.Model,
    targets: Mapping[str, LayerTarget],
    allocation: str = "global",
    init: Init = "kmeans_plus_plus",
    seed: int = 0,
) -> None:
    """Give the kernels of a model their final values at once, without training, in place.

    Args:
        model: The model.
        targets: Layer path -> what its kernels are to be.
        allocation: How allocated sparsities are shared.
        init: Where clusters start from.
        seed: Decides what is drawn for that.
    """
    at_once = ProjectionSchedule()
    kernels = kernels_of(model, targets)
    masked = [replace(it, bits=None, clusters=None) for it in kernels]
    Projection(masked, at_once, allocation, init, seed).prune_at_once()
    # Clusters are those of the weights that are left.
    left = [
        replace(it, sparsity=None, keeps_zeros=it.keeps_zeros or it.sparsity is not None)
        for it in kernels
    ]
    Projection(left, at_once, allocation, init, seed)
    coarse = [it.variable for it in kernels if it.bits or it.clusters]
    constraints.apply(model, leave=coarse)


def run_of(history: Sequence[EpochResult], settings: ProjectedSettings) -> RunOfTrainingResult:
    """The record of a training, with the epoch whose weights the model has, and why."""
    first, last = settings.first_epoch, len(history)
    epoch, reason = best(history, first), "the last one; no rows are held out to choose by"
    if epoch is not None:
        which = f"epochs {first} to {last}" if first < last else f"epoch {last}"
        value = history[epoch - 1].metrics[LOSS]
        reason = f"the lowest loss on held-out rows ({value:.6g}), {which}"
    return RunOfTrainingResult(
        epochs=list(history),
        planned=settings.epochs,
        steps=settings.steps,
        published_epoch=epoch or last,
        reason=reason,
    )


def shared_copy(model: tf_keras.Model) -> tf_keras.Model:
    """The same layers in another model, which can be compiled and leaves the first one as it is."""
    return tf_keras.models.clone_model(model, clone_function=lambda layer: layer)


def kernels_of(model: tf_keras.Model, targets: Mapping[str, LayerTarget]) -> list[Kernel]:
    """The kernels of the layers that are named, each once, in the model's order.

    Those that can't be pruned (depthwise ones) have no sparsity.
    """
    axes, dense = channel_axes(model), dense_kernels(model)
    found: dict[int, Kernel] = {}
    for path, layer in layers_of(model):
        if path not in targets:
            continue
        target = targets[path]
        pruned = {id(it) for it in prunable.kernels(layer)}
        for number, variable in enumerate(quantized_kernels(layer)):
            if id(variable) in found:
                continue
            found[id(variable)] = Kernel(
                variable=variable,
                name=f"{path}/{number}",
                sparsity=target.sparsity if id(variable) in pruned else None,
                is_allocated=target.is_allocated,
                bits=target.bits,
                channels=axes.get(id(variable), ()) if target.per_channel else (),
                block=_block(target, variable.shape) if id(variable) in dense else None,
                clusters=target.clusters,
                keeps_zeros=target.keeps_zeros,
            )
    return list(found.values())


def _block(target: LayerTarget, shape: Sequence[int]) -> int | None:
    """The size of the blocks of a Dense layer's kernel, (inputs, outputs); None for no blocks."""
    if target.block is None or target.bits != BITS:
        return None
    inputs, outputs = shape
    return None if why_not(outputs, inputs, target.block) else target.block
