"""strip leaves no wrapper, retains the zeros, and detects a different model."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.stages.prune import Window, mask_weights, wrap
from job.stages.strip import strip

layers = tf_keras.layers


def nested_model(
    *extra: tf_keras.layers.Layer, units: int = 6, name: str = "out"
) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(1)
    inner = tf_keras.Sequential(
        [
            layers.InputLayer((4, 4, 2)),
            layers.Conv2D(5, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    image = tf_keras.Input((4, 4, 2), name="image")
    hidden = layers.Flatten(name="flatten")(inner(image))
    for layer in extra:
        hidden = layer(hidden)
    return tf_keras.Model(image, layers.Dense(units, name=name)(hidden))


def wrapped_of(model: tf_keras.Model) -> tf_keras.Model:
    return wrap(model, {"inner/conv": 0.5, "out": 0.5}, PruneConfig(), Window(0, 4, 1))


def classes(model: tf_keras.Model) -> set[str]:
    return {type(part).__name__ for part in model.submodules}


def test_no_wrapper_is_left_in_nested_models_either() -> None:
    """The wrapped model has wrappers at both depths; the stripped one has the baseline's layers."""
    model = nested_model()
    wrapped = wrapped_of(model)
    assert type(wrapped.layers[-1]).__name__ == "PruneLowMagnitude"
    assert type(wrapped.get_layer("inner").layers[0]).__name__ == "PruneLowMagnitude"
    stripped = strip(wrapped, model)
    assert "PruneLowMagnitude" not in classes(stripped)
    assert [type(layer) for layer in stripped.layers] == [type(layer) for layer in model.layers]
    assert stripped.count_params() == model.count_params() < wrapped.count_params()


def test_the_stripped_weights_are_the_masked_ones() -> None:
    """Each kernel is the kernel before times the mask; everything else is as it was."""
    model = nested_model()
    before = [weight.numpy() for weight in model.weights]
    wrapped = wrapped_of(model)
    random = np.random.default_rng(0)
    masks = {}
    for part in wrapped.submodules:
        if type(part).__name__ == "PruneLowMagnitude":
            _, mask, _ = part.pruning_vars[0]
            masks[part.layer.name] = random.integers(0, 2, mask.shape).astype("float32")
            mask.assign(masks[part.layer.name])
    mask_weights(wrapped)
    stripped = strip(wrapped, model)
    assert len(stripped.weights) == len(before)
    for weight, original in zip(stripped.weights, before, strict=True):
        layer, kind = weight.name.removesuffix(":0").split("/")[-2:]
        mask = masks[layer] if kind == "kernel" else 1
        np.testing.assert_array_equal(weight.numpy(), original * mask, err_msg=weight.name)
    image = random.normal(size=(3, 4, 4, 2)).astype("float32")
    np.testing.assert_allclose(
        stripped(image).numpy(), wrapped(image, training=False).numpy(), atol=1e-6
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: nested_model(layers.ReLU(name="relu")), id="one layer more"),
        pytest.param(lambda: nested_model(units=7), id="other parameters"),
        pytest.param(lambda: nested_model(name="answer"), id="another name"),
    ],
)
def test_a_different_model_is_an_error(other: type[tf_keras.Model]) -> None:
    """One more layer, another size or another name: the error names the layer."""
    with pytest.raises(StageError, match="After stripping"):
        strip(wrapped_of(nested_model()), other())
    with pytest.raises(StageError, match="After stripping"):
        strip(wrap(other(), {"conv": 0.5}, PruneConfig(), Window(0, 4, 1)), nested_model())


def test_an_additional_layer_at_the_end_is_an_error() -> None:
    """Where one model is the beginning of the other, the number of layers differs."""
    short = tf_keras.Sequential([layers.InputLayer((8,)), layers.Dense(8, name="out")])
    long = tf_keras.Sequential([layers.InputLayer((8,)), *short.layers, layers.Dense(3)])
    with pytest.raises(StageError, match="2 layers, not 1"):
        strip(wrapped_of(long), short)
