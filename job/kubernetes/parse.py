"""Values of the command line, checked: each is returned, or refused with a hint.

Every check takes the option's name first, for the message. The patterns are compiled when they are
first used: ``--help`` needs none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from job.errors import ManifestError
from job.kubernetes.names import (
    is_dns_label,
    is_image,
    is_label_key,
    is_label_value,
    is_object_name,
)

MANIFEST_DIGEST = "paredown/manifest-sha256"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# Labels that paredown sets on the Job and its pods, and those that Kubernetes sets.
OWN_LABELS = tuple(
    f"app.kubernetes.io/{it}" for it in ("name", "instance", "version", "component", "managed-by")
)
THEIR_LABELS = ("job-name", "controller-uid")
THEIR_PREFIX = "batch.kubernetes.io/"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# The API takes 256 KiB, and kubectl apply needs a part of that.
MAX_ANNOTATIONS = 100_000
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
OWN_ENVIRONMENT = ("TMPDIR", "PAREDOWN_SHARDS", "PAREDOWN_BATCH_ID", "JOB_COMPLETION_INDEX")
_CPU = r"[0-9]{1,9}(?:\.[0-9]{1,3})?|[0-9]{1,12}m"
_BYTES = r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_CREDENTIAL = r"(?i)access_?key|secret|passw(or)?d|token(?!iz)|credential|api_?key|private_?key"
# Names of variables that hold the location of a credential, not the credential.
_LOCATION = r"(?i)_(FILE|PATH|URI|ARN|NAME)$"


@dataclass(frozen=True)
class Toleration:
    """A taint that the pods tolerate; without a value, whatever its value is."""

    key: str
    value: str | None = None
    effect: str | None = None


def _valid(is_valid: Callable[[str], bool], hint: str) -> Callable[[str, str], str]:
    def check(option: str, text: str) -> str:
        if not is_valid(text):
            _refuse(option, text, hint)
        return text

    return check


image = _valid(is_image, "Write registry.example.org/paredown:0.1.0, or end in @sha256:….")
# The Job's name; it is made valid for Kubernetes later.
name = _valid(
    lambda text: text.strip() != "", "Give a name, or leave it out: it is then the manifest's."
)
namespace = _valid(is_dns_label, "A namespace has small letters, digits and dashes, at most 63.")
object_name = _valid(is_object_name, "Such a name has small letters, digits, dashes and dots.")
# The name of a Kueue LocalQueue; it is also a label's value.
queue = _valid(is_dns_label, "A queue has small letters, digits and dashes, at most 63.")
pull_policy = _valid(PULL_POLICIES.__contains__, f"It is one of {', '.join(PULL_POLICIES)}.")


def cores(option: str, text: str) -> str:
    """Cores: ``2``, ``0.5`` or ``500m``."""
    if not re.fullmatch(_CPU, text) or float(text.rstrip("m")) == 0:
        _refuse(option, text, "Write a number of cores: 2, 0.5 or 500m.")
    return text


def check_limit(request: str, limit: str | None) -> None:
    """Refuse a limit of cores that is below the request."""
    if limit is not None and _number_of_cores(limit) < _number_of_cores(request):
        _refuse("--cpu-limit", limit, f"It is less than --cpu, which is {request}.")


def _number_of_cores(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def size(option: str, text: str) -> str:
    """Bytes as Kubernetes writes them: ``4Gi`` or ``500M``; at least a mebibyte."""
    match = re.fullmatch(_BYTES, text)
    if match is None:
        _refuse(option, text, "Write a number and Mi, Gi or Ti: 4Gi.")
    number = float(match[1]) * _UNITS[match[2] or ""]
    if number < 1 << 20:
        _refuse(option, text, f"It is in bytes, and less than 1Mi. Was {match[1]}Gi meant?")
    if number >= 1 << 63:
        _refuse(option, text, "It is more than Kubernetes can count.")
    return text


def environment(option: str, words: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` each; no credentials, since everybody who may see the Job can read them."""
    variables: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(_VARIABLE, name):
            _refuse(option, name, "Write NAME=VALUE: --env AWS_REGION=eu-central-1.")
        if (_is_secret(name) and not re.search(_LOCATION, name)) or _has_user(value):
            _refuse(option, name, "It looks like a credential: put it in the Secret of --secret.")
        if name in OWN_ENVIRONMENT:
            _refuse(option, name, "It is set by paredown and by Kubernetes; leave it out.")
        _add(variables, option, name, value)
    return variables


def annotation_texts(option: str, words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, for the Job, its pods and its ConfigMap; the value is any text."""
    texts: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not is_label_key(key):
            hint = "Write KEY=VALUE: --annotation karpenter.sh/do-not-disrupt=true"
            _refuse(option, word, hint)
        if key in (MANIFEST_DIGEST, APPLIED) or key.startswith(THEIR_PREFIX):
            _refuse(option, key, "It is set by paredown or by Kubernetes; leave it out.")
        if _is_secret(key) or _has_user(value):
            _refuse(option, key, "It looks like a credential, which anybody could read.")
        _add(texts, option, key, value)
    if sum(len(key) + len(value.encode()) for key, value in texts.items()) > MAX_ANNOTATIONS:
        _refuse(option, next(iter(texts)), "All of them together hold at most 100 kB.")
    return texts


def selector(option: str, words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, valid as labels."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not is_label_key(key) or not is_label_value(value):
            _refuse(
                option,
                word,
                "Write KEY=VALUE; both of letters, digits, dots, dashes and underscores, at most "
                "63; the key may begin with a domain and a slash.",
            )
        _add(pairs, option, key, value)
    return pairs


def _add(pairs: dict[str, str], option: str, key: str, value: str) -> None:
    if key in pairs:
        _refuse(option, key, "It is there twice; remove one of them.")
    # Python marks bytes of the command line that it could not decode.
    if "\0" in value or value.encode(errors="replace").decode() != value:
        _refuse(option, key, "Its value is no text: it holds a NUL, or is not UTF-8.")
    pairs[key] = value


def _is_secret(name: str) -> bool:
    return re.search(_CREDENTIAL, name) is not None


def _has_user(value: str) -> bool:
    """Whether it is a URL with a user in it, as those of proxies may be."""
    _, colon, rest = value.partition("://")
    return bool(colon) and "@" in rest.partition("/")[0]


def labels(option: str, words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, for the Job and its pods; none that paredown or Kubernetes sets."""
    pairs = selector(option, words)
    for key in pairs:
        if key == QUEUE_LABEL:
            _refuse(option, key, "Use --queue, which also lets Kueue start the Job.")
        if key in OWN_LABELS + THEIR_LABELS or key.startswith(THEIR_PREFIX):
            _refuse(option, key, "It is set by paredown or by Kubernetes; use another key.")
    return pairs


def tolerations(option: str, words: Iterable[str]) -> tuple[Toleration, ...]:
    """``KEY[=VALUE][:EFFECT]`` each."""
    return tuple(_toleration(option, word) for word in words)


def _toleration(option: str, word: str) -> Toleration:
    taint, colon, effect = word.partition(":")
    key, equals, value = taint.partition("=")
    if not is_label_key(key) or not is_label_value(value):
        _refuse(option, word, "Write KEY[=VALUE][:EFFECT]: nvidia.com/gpu:NoSchedule.")
    if colon and effect not in EFFECTS:
        _refuse(option, word, f"An effect is one of {', '.join(EFFECTS)}.")
    return Toleration(key, value if equals else None, effect if colon else None)


def _refuse(option: str, word: str, hint: str) -> NoReturn:
    raise ManifestError(f"{option} can't be {word!r}.", where=option, hint=hint)
