"""What a model holds that is no attack and still can't be loaded: custom classes.

Their code is not in the file, so trusting the file does not help.
"""

from __future__ import annotations

from typing import Any

from job.safety import allowed

KNOWN = allowed.CLASS_NAMES | allowed.CARRY_CODE | {"function"}
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
    return BUILT_IN if describe(node) else ""
