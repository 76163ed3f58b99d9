"""Values of the command line, checked: each is returned, or refused with a hint.

Every check takes the option's name first, for the message. The patterns are compiled when they are
first used: ``--help`` needs none. The names that Kubernetes allows, and references to images:
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and
https://github.com/distribution/reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from job.errors import ManifestError

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
