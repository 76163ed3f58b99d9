"""Names that Kubernetes allows, and references to container images.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and
https://github.com/distribution/reference.
"""

from __future__ import annotations

import hashlib
import re

MAX_LABEL = 63
# A pod of an Indexed Job is called <job>-<index>-<five characters>, its host <job>-<index>; and
# <job>-<ten characters> is the ConfigMap's name.
MAX_JOB_NAME = 52
MAX_IMAGE = 500
# What is pulled where no tag is given.
LATEST = "latest"
_DIGEST = 8
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_QUALIFIED = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def dns_label(text: str, length: int = MAX_JOB_NAME) -> str:
    """A DNS label (RFC 1123) of at most ``length`` characters that resembles ``text``.

    If anything of the text is lost, including its case, a digest of it is appended, so that
    different texts have different names.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain and plain == text and len(plain) <= length:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    start = plain[: length - _DIGEST - 1].strip("-")
    return f"{start or 'job'}-{digest}"


def is_dns_label(text: str) -> bool:
    """Whether it is a DNS label (RFC 1123): valid as a namespace's name."""
    return len(text) <= MAX_LABEL and re.fullmatch(_LABEL, text) is not None


def is_object_name(text: str) -> bool:
    """Whether it is a DNS subdomain: valid as the name of a Secret or a service account."""
    return len(text) <= 253 and re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", text) is not None


def is_label_key(text: str) -> bool:
    """Whether it is valid as a label's key: ``team``, or ``example.org/team``."""
    prefix, slash, name = text.rpartition("/")
    return (not slash or is_object_name(prefix)) and re.fullmatch(_QUALIFIED, name) is not None


def is_label_value(text: str) -> bool:
    """Whether it is valid as a label's value, which may be empty."""
    return not text or re.fullmatch(_QUALIFIED, text) is not None


def label_value(text: str) -> str:
    """The text as a label's value: characters that are not allowed become dashes."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:MAX_LABEL].strip("._-")


def is_image(text: str) -> bool:
    """Whether it is a valid image reference; kubelet retries an invalid one for ever."""
    return len(text) <= MAX_IMAGE and re.fullmatch(_IMAGE, text) is not None


def image_warnings(reference: str) -> list[str]:
    """Warnings about a valid reference that may name another image tomorrow."""
    found = re.fullmatch(_IMAGE, reference)
    if found is None or found["digest"] or found["tag"] not in (None, LATEST):
        return []
    said = "has no tag" if found["tag"] is None else "has the tag latest"
    warning = (
        f"The image {reference} {said}: which version runs depends on the day, pods of one Job may "
        "run different ones, and another version does finished work again. Give the version's tag "
        "or, better, the digest (@sha256:...)."
    )
    return [warning]
