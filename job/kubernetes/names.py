"""Names that Kubernetes takes: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/."""

from __future__ import annotations

import hashlib
import re

MAX_LABEL = 63
# A pod of an Indexed Job is called <job>-<index>-<five characters>, its host <job>-<index>; and
# <job>-<ten characters> is the ConfigMap's name.
MAX_JOB_NAME = 52
_DIGEST = 8
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def dns_label(text: str, length: int = MAX_JOB_NAME) -> str:
    """A DNS label (RFC 1123) of at most ``length`` characters that reads like ``text``.

    Where anything of the text is lost, its case too, a digest of it is added: other texts have
    other names, and the same text always has the same.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain and plain == text and len(plain) <= length:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    start = plain[: length - _DIGEST - 1].strip("-")
    return f"{start or 'job'}-{digest}"


def is_dns_label(text: str) -> bool:
    """Whether it is a DNS label as RFC 1123 has it: a namespace's name."""
    return len(text) <= MAX_LABEL and re.fullmatch(_LABEL, text) is not None


def is_object_name(text: str) -> bool:
    """Whether it is a DNS subdomain: the name of a Secret, or of a service account."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label_key(text: str) -> bool:
    """Whether it can be a label's key: ``team``, or ``example.org/team``."""
    prefix, slash, name = text.rpartition("/")
    return (not slash or is_object_name(prefix)) and _QUALIFIED.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Whether it can be a label's value; an empty one can."""
    return not text or _QUALIFIED.fullmatch(text) is not None


def label_value(text: str) -> str:
    """The text as a label's value: what can't be in one becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:MAX_LABEL].strip("._-")
