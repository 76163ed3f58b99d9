"""A reference to a container image: whether it is one, and whether it always names the same image.

https://github.com/distribution/reference: kubelet tries again and again to pull what is none.
"""

from __future__ import annotations

import re

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
MAX_LENGTH = 500
# What is pulled where no tag is given.
LATEST = "latest"


def is_reference(text: str) -> bool:
    """Whether it is a reference to an image."""
    return len(text) <= MAX_LENGTH and _REFERENCE.fullmatch(text) is not None


def image_warnings(reference: str) -> list[str]:
    """What is wrong with a valid reference that names another image from one day to the next."""
    found = _REFERENCE.fullmatch(reference)
    if found is None or found["digest"] or found["tag"] not in (None, LATEST):
        return []
    said = "has no tag" if found["tag"] is None else "has the tag latest"
    warning = (
        f"The image {reference} {said}: which version runs depends on the day, pods of one Job may "
        "run different ones, and another version does finished work again. Give the version's tag "
        "or, better, the digest (@sha256:...)."
    )
    return [warning]
