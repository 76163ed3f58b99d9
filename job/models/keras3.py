"""Keras 3 models: rebuilt as ``tf_keras`` models, which tfmot can prune, and written back.

tfmot works with Keras 2 only (tfmot issues 1119 and 1172), and ``tf_keras`` can't load a Keras 3
file. But the model can be rebuilt: its graph is walked, each layer is made from its configuration
and called as before, and its weights are copied. The outputs are compared, and a model with
different outputs is refused.

Weights are paired by name: a layer's weights have another order in the two, since Keras 2 lists
trainable ones first, in a wrapper too. So layers are paired by name, layers inside them by
attribute, and weights by name.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import tf_keras
from keras.src.utils.tracking import TrackedList

from job.errors import InputError
from job.models.budget import refuse_huge_outputs
from job.models.compare import TOLERANCE, Rows, difference
from job.models.formats import write_judged
from job.models.keras3_adapters import Keras3Layer
from job.models.keras3_graph import Graph, rebuild_graph
from job.models.layers import every_layer, in_users_names, take_scope_names
from job.models.reconfigure import computing_in_float32
from job.models.retired_settings import without_retired
from job.safety.judge import Judged

# The attributes under which layers of both Keras hold other layers.
PARTS = (
    *("layer", "forward_layer", "backward_layer", "cell", "activation", "recurrent_activation"),
    *("_query_dense", "_key_dense", "_value_dense", "_output_dense"),
)

# Keras 3's name of a weight -> Keras 2's, by layer.
RENAMED = {
    "DepthwiseConv1D": {"kernel": "depthwise_kernel"},
    "DepthwiseConv2D": {"kernel": "depthwise_kernel"},
}

# Weights or layers: of Keras 3, with the counterpart in Keras 2.
Pairs = Iterator[tuple[Any, Any]]


def read(judged: Judged, *, trust: bool) -> keras.Model:
    """Load a validated Keras 3 file; ``trust`` allows its code to run."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"model.{judged.format}"  # Keras detects the format by its name
        config = without_retired(judged.config)
        if judged.format == "keras":
            write_judged(replace(judged, config=config), Path(scratch))
        elif config == judged.config:
            path.symlink_to(judged.path.absolute())
        else:
            shutil.copyfile(judged.path, path)
            with h5py.File(path, "r+") as file:
                file.attrs["model_config"] = json.dumps(config)
        model = keras.models.load_model(path, compile=False, safe_mode=not trust)
    if judged.format == "h5":
        _refuse_lost_axes(model, judged)
        _take_plain_settings(model)
    take_scope_names(model)
    return model


def write(original: keras.Model, pruned: tf_keras.Model, path: Path) -> None:
    """Save the pruned weights in the original Keras 3 model, which is changed."""
    for weight, counterpart in _pairs(original, pruned):
        weight.assign(counterpart.numpy())
    _finalize(original)
    save(original, path)


def save(original: keras.Model, path: Path) -> None:
    """Save a Keras 3 model under the names that the user gave its layers."""
    with in_users_names(original):
        original.save(path)


def _refuse_lost_axes(model: keras.Model, judged: Judged) -> None:
    """Keras 3 drops a layer's setting ``axis`` where it reads several from HDF5
    (``keras.src.legacy.saving.saving_utils.model_from_config``): the layer then takes its default.
    """
    found = {layer.name: getattr(layer, "axis", None) for layer in every_layer(model)}
    for name, kind, settings in _layer_settings(judged.config):
        axes = settings.get("axis")
        if not isinstance(axes, list) or len(axes) < 2 or name not in found:
            continue
        taken = keras.tree.flatten(found[name])
        if len(taken) != len(axes):
            raise InputError(
                f"Keras {keras.__version__} drops the axes {axes} of the layer {name} ({kind}) "
                "when it reads an .h5 file: the model then computes something else, over the axis "
                f"{', '.join(map(str, taken))}.",
                where=judged.where,
                hint="Save the original model as .keras, which holds them: "
                "model.save('model.keras').",
            )


def _layer_settings(config: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, class and settings of each layer of a configuration, at any depth."""
    if isinstance(config, list):
        for part in config:
            yield from _layer_settings(part)
    elif isinstance(config, dict):
        settings = config.get("config")
        if isinstance(settings, dict) and isinstance(settings.get("name"), str):
            yield settings["name"], str(config.get("class_name")), settings
        for part in config.values():
            yield from _layer_settings(part)


def _take_plain_settings(model: keras.Model) -> None:
    """Make plain lists of the settings that are lists, as a ``value_range`` in an .h5 file.

    Keras makes lists of its own of them, which hold its tracker; it copies the settings of all
    layers when it writes an .h5 file, and a tracker can't be copied.
    """
    for layer in every_layer(model):
        for name, value in vars(layer).items():
            if isinstance(value, TrackedList) and _is_plain(value):
                vars(layer)[name] = _plain(value)


def _is_plain(value: Any) -> bool:
    """Whether there are only numbers, strings and None in it, which need no tracker."""
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, int | float | str)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, list) else value


def rebuild(model: keras.Model, where: str) -> tf_keras.Model:
    """A Sequential or functional model in ``tf_keras`` and float32: same weights and outputs.

    Raises:
        InputError: If the model has no graph, a layer has no counterpart, or the outputs differ.
        Exception: From either Keras, if it can't make or call a model.
    """
    graph, rebuilt = _rebuilt(model, where)
    refuse_huge_outputs(rebuilt, where)
    _refuse_different(model, rebuilt, where, graph)
    return rebuilt


def compare(model: keras.Model, rebuilt: tf_keras.Model, where: str, rows: Rows) -> None:
    """Compare a model with its counterpart, of the same weights, on rows of data.

    Raises:
        InputError: If the outputs differ.
    """
    _refuse_different(model, rebuilt, where, None, rows)


def _rebuilt(model: keras.Model, where: str) -> tuple[Graph, tf_keras.Model]:
    graph, rebuilt = rebuild_graph(model, where)
    for weight, counterpart in _pairs(model, rebuilt):
        counterpart.assign(weight.numpy())
    _finalize(rebuilt)
    return graph, rebuilt


def _refuse_different(
    model: keras.Model,
    rebuilt: tf_keras.Model,
    where: str,
    graph: Graph | None,
    rows: Rows | None = None,
) -> None:
    with computing_in_float32(model):
        found = difference(model, rebuilt, rows)
        if found <= TOLERANCE:
            return
        if graph is None:  # it was not stored: the model is rebuilt once more
            graph, rebuilt = _rebuilt(model, where)
        first = graph.first_different(model, rebuilt, rows) or "unknown"
    on = "random rows" if rows is None else "rows of the data set"
    raise InputError(
        f"The model's outputs differ after it is rebuilt for Keras 2: by {found:.2g}, on {on}. "
        f"The first layer that differs is {first}.",
        where=where,
        hint="Replace that layer; it can't be pruned by tfmot, which needs Keras 2.",
    )


def _pairs(layer: Any, counterpart: Any) -> Pairs:
    """Each weight of a Keras 3 layer or model, with that of its counterpart.

    Raises:
        InputError: If the two have different weights.
    """
    if isinstance(counterpart, Keras3Layer):
        yield from counterpart.pairs()
    elif isinstance(layer, keras.Model):
        for inner in layer.layers:
            if inner.weights:
                yield from _pairs(inner, counterpart.get_layer(inner.name))
    else:
        inside = list(_parts(layer, counterpart))
        for pair in inside:
            yield from _pairs(*pair)
        yield from _own_weights(layer, counterpart, inside)


def _parts(layer: Any, counterpart: Any) -> Pairs:
    """The layers inside a layer that have weights."""
    if isinstance(layer, keras.layers.StackedRNNCells):
        yield from zip(layer.cells, counterpart.cells, strict=True)
        return
    # In a Bidirectional, ``layer`` is one of the two or a copy of it.
    skipped = "layer" if isinstance(layer, keras.layers.Bidirectional) else ""
    for name in PARTS:
        part = getattr(layer, name, None)
        if name != skipped and isinstance(part, keras.Layer) and part.weights:
            yield part, getattr(counterpart, name)


def _own_weights(layer: Any, counterpart: Any, inside: list[tuple[Any, Any]]) -> Pairs:
    """The weights that belong to no layer inside the layer, paired by name."""
    renamed = RENAMED.get(type(layer).__name__, {})
    named = _by_name(layer, [part for part, _ in inside])
    left = {renamed.get(key, key): it for key, it in named.items()}
    right = _by_name(counterpart, [part for _, part in inside])
    if _shapes(left) != _shapes(right):
        raise InputError(
            f"The layer {layer.name} ({type(layer).__name__}) has other weights in Keras 2: "
            f"{_described(right)}, not {_described(left)}.",
            hint="Replace that layer; tfmot works with Keras 2 alone.",
        )
    for key, weight in left.items():
        yield weight, right[key]


def _by_name(layer: Any, parts: list[Any]) -> dict[str, Any]:
    inside = {id(it) for part in parts for it in part.weights}
    own = [it for it in layer.weights if id(it) not in inside]
    return {it.name.rpartition("/")[2].partition(":")[0]: it for it in own}


def _shapes(weights: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(it.shape) for key, it in weights.items()}


def _described(weights: dict[str, Any]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in _shapes(weights).items()) or "none"


def _finalize(model: Any) -> None:
    """Recompute the constants that a Normalization derives from its weights."""
    for layer in every_layer(model):
        if isinstance(layer, keras.layers.Normalization | tf_keras.layers.Normalization):
            layer.finalize_state()
