"""JSON Merge Patch: https://www.rfc-editor.org/rfc/rfc7396."""

from __future__ import annotations

from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """What ``target`` becomes by ``patch``: objects are merged, null removes, all else replaces.

    Neither is changed. What is taken over unchanged is shared, not copied.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
