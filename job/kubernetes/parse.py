"""Words of the command line -> options, or a refusal that says which word and what it may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from job.errors import ManifestError
from job.kubernetes.image import is_reference
from job.kubernetes.names import is_dns_label, is_label_key, is_label_value, is_object_name
from job.kubernetes.options import Toleration
from job.kubernetes.plan import MANIFEST_DIGEST

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# What the pods and the Job are labelled with here, and by Kubernetes.
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
_CPU = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?|[0-9]{1,12}m")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(
    r"access_?key|secret|passw(or)?d|token(?!iz)|credential|api_?key|private_?key", re.IGNORECASE
)
# Names of variables that hold the place of a credential, and not itself.
_PLACE = re.compile(r"_(FILE|PATH|URI|ARN|NAME)$", re.IGNORECASE)


def image(text: str) -> str:
    """A reference to a container image: ``registry.example.org/team/paredown:0.1.0``."""
    if not is_reference(text):
        _refuse("--image", text, "Write registry.example.org/paredown:0.1.0, or end in @sha256:….")
    return text


def name(text: str | None) -> str | None:
    """What the Job is called; it is made fit for Kubernetes."""
    if text is not None and not text.strip():
        _refuse("--name", text, "Give a name, or leave it out: it is then the manifest's.")
    return text


def namespace(text: str | None) -> str | None:
    """The name of a namespace."""
    if text is not None and not is_dns_label(text):
        _refuse(
            "--namespace", text, "A namespace has small letters, digits and dashes, at most 63."
        )
    return text


def object_name(option: str, text: str | None) -> str | None:
    """The name of something that is in the namespace."""
    if text is not None and not is_object_name(text):
        _refuse(option, text, "Such a name has small letters, digits, dashes and dots.")
    return text


def queue(text: str | None) -> str | None:
    """The name of a Kueue LocalQueue; it is also a label's value."""
    if text is not None and not is_dns_label(text):
        _refuse("--queue", text, "A queue has small letters, digits and dashes, at most 63.")
    return text


def cpu(text: str) -> str:
    """Cores: ``2``, ``0.5`` or ``500m``."""
    return _cores("--cpu", text)


def cpu_limit(text: str | None, request: str) -> str | None:
    """Cores that are at least the request, or none: no limit."""
    if text is None:
        return None
    if _number_of_cores(_cores("--cpu-limit", text)) < _number_of_cores(request):
        _refuse("--cpu-limit", text, f"It is less than --cpu, which is {request}.")
    return text


def _cores(option: str, text: str) -> str:
    if not _CPU.fullmatch(text) or float(text.rstrip("m")) == 0:
        _refuse(option, text, "Write a number of cores: 2, 0.5 or 500m.")
    return text


def _number_of_cores(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def size(option: str, text: str) -> str:
    """Bytes as Kubernetes writes them: ``4Gi`` or ``500M``; a mebibyte at least."""
    match = _BYTES.fullmatch(text)
    if match is None:
        _refuse(option, text, "Write a number and Mi, Gi or Ti: 4Gi.")
    if float(match[1]) * _UNITS[match[2] or ""] < 1 << 20:
        _refuse(option, text, f"It is in bytes, and less than 1Mi. Was {match[1]}Gi meant?")
    if float(match[1]) * _UNITS[match[2] or ""] >= 1 << 63:
        _refuse(option, text, "It is more than Kubernetes can count.")
    return text


def environment(words: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` each; no credentials, which whoever may see the Job could read."""
    variables: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            _refuse("--env", name, "Write NAME=VALUE: --env AWS_REGION=eu-central-1.")
        if (_CREDENTIAL.search(name) and not _PLACE.search(name)) or _has_user(value):
            _refuse("--env", name, "It looks like a credential: put it in the Secret of --secret.")
        if name in OWN_ENVIRONMENT:
            _refuse("--env", name, "It is set by paredown and by Kubernetes; leave it out.")
        if name in variables:
            _refuse("--env", name, "It is there twice; remove one of them.")
        if "\0" in value or not _is_utf8(value):
            _refuse("--env", name, "Its value is no text: it holds a NUL, or is not UTF-8.")
        variables[name] = value
    return variables


def labels(words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, for the Job and its pods; none of those that are set here."""
    pairs = selector("--label", words)
    for key in pairs:
        if key == QUEUE_LABEL:
            _refuse("--label", key, "Use --queue, which also lets Kueue start the Job.")
        if key in OWN_LABELS + THEIR_LABELS or key.startswith(THEIR_PREFIX):
            _refuse("--label", key, "It is set by paredown or by Kubernetes; use another key.")
    return pairs


def annotations_of(words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, for the Job, its pods and its ConfigMap; the value is any text."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not is_label_key(key):
            _refuse(
                "--annotation",
                word,
                "Write KEY=VALUE: --annotation karpenter.sh/do-not-disrupt=true",
            )
        if key in (MANIFEST_DIGEST, APPLIED) or key.startswith(THEIR_PREFIX):
            _refuse("--annotation", key, "It is set by paredown or by Kubernetes; leave it out.")
        if key in pairs:
            _refuse("--annotation", key, "It is there twice; remove one of them.")
        if _CREDENTIAL.search(key) or _has_user(value):
            _refuse("--annotation", key, "It looks like a credential, which anybody could read.")
        if "\0" in value or not _is_utf8(value):
            _refuse("--annotation", key, "Its value is no text: it holds a NUL, or is not UTF-8.")
        pairs[key] = value
    if sum(len(key) + len(value.encode()) for key, value in pairs.items()) > MAX_ANNOTATIONS:
        _refuse("--annotation", next(iter(pairs)), "All of them together hold at most 100 kB.")
    return pairs


def pull_policy(text: str | None) -> str | None:
    """When a node pulls the image."""
    if text is not None and text not in PULL_POLICIES:
        _refuse("--image-pull-policy", text, f"It is one of {', '.join(PULL_POLICIES)}.")
    return text


def selector(option: str, words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each, as labels are."""
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
        if key in pairs:
            _refuse(option, word, "Its key is there twice; remove one of them.")
        pairs[key] = value
    return pairs


def tolerations(words: Iterable[str]) -> tuple[Toleration, ...]:
    """``KEY[=VALUE][:EFFECT]`` each."""
    return tuple(_toleration(word) for word in words)


def _toleration(word: str) -> Toleration:
    taint, colon, effect = word.partition(":")
    key, equals, value = taint.partition("=")
    if not is_label_key(key) or not is_label_value(value):
        _refuse("--toleration", word, "Write KEY[=VALUE][:EFFECT]: nvidia.com/gpu:NoSchedule.")
    if colon and effect not in EFFECTS:
        _refuse("--toleration", word, f"An effect is one of {', '.join(EFFECTS)}.")
    return Toleration(key, value if equals else None, effect if colon else None)


def _is_utf8(value: str) -> bool:
    """Not so where Python found bytes on the command line that it could not decode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_user(value: str) -> bool:
    """Whether it is an address with a user in it, as those of proxies may be."""
    _, colon, rest = value.partition("://")
    return bool(colon) and "@" in rest.partition("/")[0]


def _refuse(option: str, word: str, hint: str) -> NoReturn:
    raise ManifestError(f"{option} can't be {word!r}.", where=option, hint=hint)
