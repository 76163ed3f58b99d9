"""Settings of layers that older versions of Keras 3 wrote and this one refuses, without an effect.

Augmentation layers do nothing at inference. Keras 3.0 to 3.3 wrote a ``value_range`` for
``RandomRotation``, which it did not use in training either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

# Layer -> its settings that are gone.
RETIRED = {"RandomRotation": ("value_range",)}


def without_retired(config: Any) -> Any:
    """A configuration without retired settings; it is not changed itself."""
    if isinstance(config, list):
        return [without_retired(part) for part in config]
    if not isinstance(config, dict):
        return config
    gone = {id(settings): key for settings, key in _retired_in(config)}
    return {
        key: {name: it for name, it in part.items() if name != gone[id(part)]}
        if id(part) in gone
        else without_retired(part)
        for key, part in config.items()
    }


def note(config: Any) -> str:
    """What is left out of a configuration, for the result; "" for nothing."""
    found = [f"{key} of {settings.get('name')}" for settings, key in _walk(config)]
    if not found:
        return ""
    return (
        f"settings that Keras {keras.__version__} no longer has were left out: "
        f"{', '.join(found)}; that layer does nothing at inference"
    )


def _walk(config: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """The settings with a retired one, and its name, at any depth."""
    if isinstance(config, list):
        for part in config:
            yield from _walk(part)
    elif isinstance(config, dict):
        yield from _retired_in(config)
        for part in config.values():
            yield from _walk(part)


def _retired_in(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    settings = config.get("config")
    if isinstance(settings, dict):
        for key in RETIRED.get(str(config.get("class_name")), ()):
            if key in settings:
                yield settings, key
