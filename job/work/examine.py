"""Look at a model, in the child process: its layers, what can be pruned, what converts.

Nothing is trained. Each quantize variant is really tried: what the converter can do is known when
it has done it.
"""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

from job.errors import StageError
from job.inspected import InspectedLayer, InspectedModel
from job.journal import Journal, Stage
from job.manifest.outputs import (
    DynamicRangeConfig,
    Float16Config,
    Float32Config,
    Int8Config,
    Int16x8Config,
    QuantizeConfig,
)
from job.manifest.prune import PruneConfig
from job.models import layers, random_layers
from job.models.compare import Array, on_random_inputs
from job.models.load import load
from job.result import TensorResult, TensorSpec
from job.safety.judge import Judged
from job.work.convert import attempt, plan

VARIANTS: tuple[QuantizeConfig, ...] = (
    Float32Config(type="float32"),
    Float16Config(type="float16"),
    DynamicRangeConfig(type="dynamic_range"),
    Int8Config(type="int8"),
    Int16x8Config(type="int16x8"),
)


def examine(judged: Judged, journal: Journal, *, try_variants: bool) -> InspectedModel:
    """Load a model and look at it.

    Args:
        judged: The model; it has no dangers.
        journal: Is told what happens.
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
    if try_variants:
        with journal.stage("try") as stage:
            variants, decided = on_random_inputs(
                model, lambda it: _try_variants(model, it, outputs, stage)
            )
    return InspectedModel(
        format=file.format,
        keras_version=file.keras_version,
        inputs=_tensors(inputs),
        outputs=_tensors(outputs),
        parameters=int(model.count_params()),
        layers=_layers(model),
        choices=[
            *(
                f"{spec.name} has open dimensions, {_shape(spec)}: set model.input_shapes, or they "
                "are taken from the data"
                for spec in inputs
                if None in spec.shape
            ),
            *decided,
            *file.notes,
            *filter(None, [random_layers.note(file.effects, draws=1)]),
        ],
        variants=variants,
        warnings=journal.warnings,
    )


def _layers(model: tf_keras.Model) -> list[InspectedLayer]:
    """Every layer of the model, in its order; those without weights have no reason."""
    plans = {plan.name: plan for plan in layers.plan_layers(model, PruneConfig())}
    found = []
    for path, layer in layers.layers_of(model):
        plan = plans.get(path)
        prunable = plan is not None and plan.target_sparsity is not None
        found.append(
            InspectedLayer(
                name=path,
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
    """The shape, or the shapes, of what a layer answers."""
    shapes = {str(layer.get_output_shape_at(call)) for call in range(len(layer.inbound_nodes))}
    return " or ".join(sorted(shape.removeprefix("[").removesuffix("]") for shape in shapes))


def _try_variants(
    model: tf_keras.Model, rows: list[Array], outputs: list[TensorSpec], stage: Stage
) -> tuple[dict[str, str], Sequence[str]]:
    """Every variant's outcome, and what has to be fixed; ``rows`` say what open dimensions are."""
    inputs = [
        TensorSpec(name, row.shape[1:], row.dtype.name)
        for name, row in zip(model.input_names, rows, strict=True)
    ]
    how = plan(model, inputs, outputs, tuple(rows))
    found: dict[str, str] = {}
    for done, variant in enumerate(VARIANTS, 1):
        try:
            notes = attempt(model, how, variant, tuple(rows))
            found[variant.type] = "; ".join(["converts", *notes])
        except StageError as error:
            found[variant.type] = f"no: {error.what}"
        stage.advance(done, len(VARIANTS))
    return found, how.decided if how.one_row else ()


def _tensors(specs: list[TensorSpec]) -> list[TensorResult]:
    return [TensorResult(name=it.name, dtype=it.dtype, shape=[None, *it.shape]) for it in specs]


def _shape(spec: TensorSpec) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in spec.shape) + ")"
