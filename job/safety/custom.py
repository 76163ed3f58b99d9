"""What a model holds that is no attack and still can't be loaded: custom classes, added losses.

What is said of it is what is true: its code is not in the file, so that trusting the file does not
help; and an added loss is Keras's own, only that training here does not know it.
"""

from __future__ import annotations

from typing import Any

from job.safety import allowed

# Layers that Keras 2 puts into a model for Model.add_loss and Model.add_metric.
ADDED = {"AddLoss": "loss", "AddMetric": "metric"}
KNOWN = allowed.CLASS_NAMES | allowed.CARRY_CODE | {"function"}
WITHOUT = (
    "Leave it out of what is shipped: save keras.Model(model.inputs, model.outputs), which has the "
    "same layers and weights without it."
)
BUILT_IN = (
    "Build the model of built-in layers with the functional API, copy the weights, and save it "
    'again. "trust" does not help: it lets code run that is in the file, and this is not.'
)


def describe(node: dict[str, Any]) -> str:
    """What an object of the configuration is, where it is of this kind; else nothing.

    Args:
        node: An object with a ``class_name``, judged as data.
    """
    name, registered = node.get("class_name"), node.get("registered_name")
    if not isinstance(name, str):
        return ""
    if name in ADDED:
        kind = ADDED[name]
        return f"A {kind} was added to the model (add_{kind}), which training here does not know."
    if name in KNOWN:
        return ""
    named = registered if isinstance(registered, str) and ">" in registered else name
    module = node.get("module")
    of = f" of the module {module!r:.80}" if isinstance(module, str) else ""
    return (
        f"The model holds the custom class {named!r:.80}{of}: it is not built into Keras, and its "
        "code is not in the file."
    )


def advice_of(node: dict[str, Any]) -> str:
    """What to do about it; nothing where it is of another kind."""
    if not describe(node):
        return ""
    return WITHOUT if node["class_name"] in ADDED else BUILT_IN
