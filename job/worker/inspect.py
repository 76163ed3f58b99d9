"""Inspect a model, in the child process: its layers, what can be pruned, what converts.

Nothing is trained. Each quantize variant is really tried, since only that shows what converts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import tf_keras

from job.errors import StageError
from job.events import Journal, Stage
from job.manifest.prune import PruneConfig
from job.metrics.artifact import describe
from job.models import layers, random_layers
from job.models.layers import users_name
from job.models.load import load
from job.models.prunable import plan_layers
from job.models.random_inputs import input_shapes, on_random_inputs
from job.result.inspected import InspectedLayer, InspectedModel
from job.result.specs import TensorSpec
from job.safety.judge import Judged
from job.stages.quantize import VARIANTS
from job.worker.convert import attempt, plan


def examine(judged: Judged, journal: Journal, *, try_variants: bool) -> InspectedModel:
    """Load a model and look at it.

    Args:
        judged: The model; it has no dangers.
        journal: Receives what happens.
        try_variants: Whether every quantize variant is converted and run.

    Raises:
        InputError: Where it can't be loaded.
    """
    with journal.stage("load"):
        file = load(judged)
        model = file.model
        inputs, outputs = layers.signature(model, judged.where)
    variants: dict[str, str] = {}
    decided: Sequence[str] = ()
    tried: Sequence[TensorSpec] | None = None
    if try_variants:
        with journal.stage("try") as stage:
            tried = _with_sizes(model, inputs)
            variants, decided = _try_variants(model, tried, outputs, stage)
    return InspectedModel(
        format=file.format,
        keras_version=file.keras_version,
        inputs=describe(inputs),
        outputs=describe(outputs),
        parameters=int(model.count_params()),
        layers=_layers(model),
        choices=[
            *_open_dimensions(inputs, tried),
            *decided,
            *file.notes,
            *filter(None, [random_layers.note(file.effects, draws=1)]),
        ],
        variants=variants,
        warnings=[*file.warnings, *journal.warnings],
    )


def _layers(model: tf_keras.Model) -> list[InspectedLayer]:
    """Every layer of the model, in its order; those without weights have no reason."""
    plans = {plan.name: plan for plan in plan_layers(model, PruneConfig())}
    found = []
    for path, layer in layers.layers_of(model):
        plan = plans.get(path)
        prunable = plan is not None and plan.target_sparsity is not None
        found.append(
            InspectedLayer(
                name=users_name(path),
                type=type(layer).__name__,
                output_shape=_output_shape(layer),
                parameters=plan.parameters if plan else 0,
                prunable_weights=plan.prunable_weights if plan else 0,
                prunable=prunable,
                reason=plan.reason if plan and not prunable else "",
            )
        )
    return found


def _output_shape(layer: tf_keras.layers.Layer) -> str:
    """The output shape of a layer, or its shapes."""
    shapes = {str(layer.get_output_shape_at(call)) for call in range(len(layer.inbound_nodes))}
    return " or ".join(sorted(shape.removeprefix("[").removesuffix("]") for shape in shapes))


def _with_sizes(model: tf_keras.Model, inputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """The inputs with sizes that the model takes; empty where no such sizes were found."""
    shapes = input_shapes(model)
    if shapes is None:
        return []
    return [replace(spec, shape=shape) for spec, shape in zip(inputs, shapes, strict=True)]


def _open_dimensions(inputs: Sequence[TensorSpec], tried: Sequence[TensorSpec] | None) -> list[str]:
    """What has to be set for open dimensions, and what was tried here."""
    sizes = {spec.name: f"; the variants were tried with {_shape(spec)}" for spec in tried or ()}
    nothing = "; no sizes were found that the model takes, so that no variant was tried"
    if tried is None:
        nothing = ""
    return [
        f"{spec.name} has open dimensions, {_shape(spec)}: set model.input_shapes, or they are "
        f"taken from the data{sizes.get(spec.name, nothing)}"
        for spec in inputs
        if None in spec.shape
    ]


def _try_variants(
    model: tf_keras.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], stage: Stage
) -> tuple[dict[str, str], Sequence[str]]:
    """Every variant's outcome, and what has to be fixed."""
    if not inputs:
        return {}, ()
    rows = on_random_inputs(model, tuple)
    how = plan(model, inputs, outputs, rows)
    found: dict[str, str] = {}
    for done, (name, variant) in enumerate(VARIANTS.items(), 1):
        try:
            notes = attempt(model, how, variant.config(type=name), rows)
            found[name] = "; ".join(["converts", *notes])
        except StageError as error:
            found[name] = f"no: {error.what}"
        stage.advance(done, len(VARIANTS))
    return found, how.decided if how.one_row else ()


def _shape(spec: TensorSpec) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in spec.shape) + ")"
