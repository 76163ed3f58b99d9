"""What a model adds to its loss: regularizers of weights and activities, and ``add_loss``."""

from __future__ import annotations

import tf_keras


def regularized(model: tf_keras.Model) -> list[str]:
    """The layers that add something to the loss, each once: ``dense (activity)``, in order."""
    found: dict[str, None] = {}
    for layer in model._flatten_layers():  # noqa: SLF001 - public API has no walk
        kinds = [
            kind
            for kind, there in (
                ("weights", bool(layer._callable_losses)),  # noqa: SLF001 - as above
                ("activity", getattr(layer, "_activity_regularizer", None) is not None),
                ("add_loss", type(layer).__name__ == "AddLoss"),
            )
            if there
        ]
        if kinds:
            found[f"{layer.name} ({', '.join(kinds)})"] = None
    return list(found)
