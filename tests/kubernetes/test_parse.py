"""Values of the command line, and the names that Kubernetes allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import ManifestError
from job.kubernetes import parse
from job.kubernetes.parse import (
    MAX_JOB_NAME,
    Toleration,
    dns_label,
    image_warnings,
    is_dns_label,
    is_label_key,
    is_label_value,
    is_object_name,
    label_value,
)
from tests.kubernetes.rendered import BATCH, JOB, documents

REFUSED: list[tuple[Callable[[str, Any], Any], Any, str]] = [
    (parse.image, "", "--image"),
    (parse.image, "a b", "--image"),
    (parse.image, "paredown:", "--image"),
    (parse.image, "paredown\n", "--image"),
    (parse.image, "paredown@sha256:12", "--image"),
    (parse.image, "Paredown:1", "--image"),
    (parse.image, "ghcr.io/a/../b", "--image"),
    (parse.image, "ghcr.io/-a", "--image"),
    (parse.image, "ghcr.io/A/b", "--image"),
    (parse.namespace, "Prod", "--namespace"),
    (parse.namespace, "a.b", "--namespace"),
    (parse.object_name, "my_secret", "--secret"),
    (parse.object_name, "", "--service-account"),
    (parse.queue, "a/b", "--queue"),
    (parse.cores, "two", "--cpu"),
    (parse.cores, "0", "--cpu"),
    (parse.cores, "-1", "--cpu"),
    (parse.cores, "0.0001", "--cpu"),
    (parse.cores, "2m5", "--cpu"),
    (parse.size, "4GB", "--memory"),
    (parse.size, "4g", "--memory"),
    (parse.size, "400m", "--memory"),
    (parse.size, "4", "--memory"),
    (parse.size, "0Gi", "--scratch"),
    (parse.size, "", "--scratch"),
    (parse.environment, ["AWS_REGION"], "--env"),
    (parse.environment, ["1=2"], "--env"),
    (parse.environment, ["=2"], "--env"),
    (parse.environment, ["A-B=2"], "--env"),
    (parse.environment, ["A=1", "A=2"], "--env"),
    (parse.environment, ["A=\0"], "--env"),
    (parse.environment, ["A=\udcff"], "--env"),
    (parse.environment, ["TMPDIR=/elsewhere"], "--env"),
    (parse.environment, ["JOB_COMPLETION_INDEX=1"], "--env"),
    (parse.labels, ["team"], "--label"),
    (parse.labels, ["team=a b"], "--label"),
    (parse.labels, ["a b=c"], "--label"),
    (parse.labels, ["a=b", "a=c"], "--label"),
    (parse.labels, [f"{parse.QUEUE_LABEL}=q"], "--label"),
    (parse.labels, ["app.kubernetes.io/name=x"], "--label"),
    (parse.labels, ["batch.kubernetes.io/job-name=x"], "--label"),
    (parse.labels, ["job-name=x"], "--label"),
    (parse.selector, ["arch"], "--node-selector"),
    (parse.tolerations, [""], "--toleration"),
    (parse.tolerations, ["a=b:Never"], "--toleration"),
    (parse.tolerations, ["a=b:"], "--toleration"),
    (parse.tolerations, ["a=b=c"], "--toleration"),
]
DIGEST = "@sha256:" + "0" * 64
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@pytest.mark.parametrize(("check", "word", "option"), REFUSED)
def test_a_value_that_is_not_allowed_is_refused(
    check: Callable[[str, Any], Any], word: Any, option: str
) -> None:
    """With the option, the value, and what to write instead; exit code 2."""
    with pytest.raises(ManifestError) as caught:
        check(option, word)
    assert caught.value.what.startswith(f"{option} can't be ")
    assert caught.value.where == option
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "DB_PASSWORD",
        "passwd",
        "API_KEY",
        "apikey",
        "GOOGLE_CREDENTIALS",
        "PRIVATE_KEY",
    ],
)
def test_credentials_belong_in_the_secret(name: str) -> None:
    """Whoever may see a Job may read its variables; what was given is not repeated."""
    with pytest.raises(ManifestError, match=name) as caught:
        parse.environment("--env", [f"{name}=hush"])
    assert "--secret" in caught.value.hint
    assert "hush" not in str(caught.value)
    with pytest.raises(ManifestError, match="HTTPS_PROXY") as caught:
        parse.environment("--env", ["HTTPS_PROXY=http://me:hush@proxy:3128"])
    assert "hush" not in str(caught.value)


def test_variables_that_say_where_a_credential_is_are_none() -> None:
    """Their values are paths, addresses and names."""
    words = [
        "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/token",
        "AWS_SHARED_CREDENTIALS_FILE=/aws/credentials",
        "AWS_REGION=eu-central-1",
        "TOKENIZERS_PARALLELISM=false",
        "HTTPS_PROXY=http://proxy:3128",
        "EMPTY=",
        "EQUALS=a=b",
    ]
    assert parse.environment("--env", words)["EQUALS"] == "a=b"
    assert list(parse.environment("--env", words)) == [it.partition("=")[0] for it in words]


@pytest.mark.parametrize(
    "image",
    [
        "paredown",
        "paredown:0.1.0",
        "ghcr.io/me/paredown",
        "my_org/pare--down",
        "localhost:5000/paredown:main_2",
        f"registry.example.org/a/b/paredown:1@sha256:{'0' * 64}",
        f"paredown@sha256:{'a1' * 32}",
    ],
)
def test_images_are_named_by_tag_or_digest(image: str) -> None:
    """With or without a registry."""
    assert parse.image("--image", image) == image


def test_amounts_stay_as_they_are_written() -> None:
    """Kubernetes reads them."""
    for cores in ("2", "0.5", "500m", "1.25"):
        assert parse.cores("--cpu", cores) == cores
    for amount in ("4Gi", "1.5Gi", "500M", "1Mi", "2000000", "1T"):
        assert parse.size("--memory", amount) == amount


def test_tolerations_have_a_key_and_perhaps_a_value_and_an_effect() -> None:
    """As kubectl writes taints; without a value they are for all of them."""
    words = ["gpu", "gpu:NoSchedule", "x.org/pool=spot", "pool=:NoExecute"]
    assert parse.tolerations("--toleration", words) == (
        Toleration("gpu"),
        Toleration("gpu", None, "NoSchedule"),
        Toleration("x.org/pool", "spot"),
        Toleration("pool", "", "NoExecute"),
    )


@given(st.text() | NAMES)
def test_any_text_gives_a_dns_label(text: str) -> None:
    """Short enough for a Job, and the same each time."""
    name = dns_label(text)
    assert LABEL.fullmatch(name)
    assert len(name) <= MAX_JOB_NAME
    assert dns_label(text) == name


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9]|-[a-z0-9]){0,20}\Z"))
def test_a_valid_name_is_unchanged(text: str) -> None:
    """Nothing is added to it."""
    assert dns_label(text) == text


@given(st.lists(st.text(max_size=60) | NAMES, min_size=2, max_size=8, unique=True))
def test_different_texts_have_different_names(texts: list[str]) -> None:
    """Though they differ in case, or far behind, alone."""
    assert len({dns_label(text) for text in texts}) == len(texts)


def test_names_read_like_what_they_are_made_of() -> None:
    """With a digest of it where anything was lost."""
    assert dns_label("mnist-cnn") == "mnist-cnn"
    assert re.fullmatch(r"mnist-v1-2-[0-9a-f]{8}", dns_label("MNIST_v1.2"))
    assert re.fullmatch(r"a{43}-[0-9a-f]{8}", dns_label("a" * 53))
    assert dns_label("a" * 52) == "a" * 52
    assert dns_label("Mnist") != dns_label("MNIST") != dns_label("mnist")
    assert re.fullmatch(r"job-[0-9a-f]{8}", dns_label("ü"))
    assert re.fullmatch(r"job-[0-9a-f]{8}", dns_label(""))


@given(NAMES, st.none() | st.text(max_size=80))
@settings(deadline=None)
def test_all_objects_of_any_manifest_have_valid_names(manifest: str, name: str | None) -> None:
    """The ConfigMap's, the Job's, its pods' and their hosts'; and labels that can be labels."""
    for document in (JOB, BATCH):
        config_map, job = documents(document | {"name": manifest}, name=name)
        assert LABEL.fullmatch(config_map["metadata"]["name"])
        assert len(config_map["metadata"]["name"]) <= 63
        assert config_map["metadata"]["name"].startswith(job["metadata"]["name"] + "-")
        assert len(f"{job['metadata']['name']}-99999-abcde") <= 64
        assert all(is_label_value(it) for it in job["metadata"]["labels"].values())


@pytest.mark.parametrize(
    ("text", "label", "object_name", "key", "value"),
    [
        ("a", True, True, True, True),
        ("a-b1", True, True, True, True),
        ("a.b", False, True, True, True),
        ("A_b.c", False, False, True, True),
        ("x.org/team", False, False, True, False),
        ("X_/team", False, False, False, False),
        ("a/b/c", False, False, False, False),
        ("/b", False, False, False, False),
        ("", False, False, False, True),
        ("-a", False, False, False, False),
        ("a-", False, False, False, False),
        ("a..b", False, False, True, True),
        ("a\n", False, False, False, False),
        ("ä", False, False, False, False),
        ("a" * 63, True, True, True, True),
        ("a" * 64, False, True, False, False),
        ("a." * 126 + "a", False, True, False, False),
        ("a." * 127 + "a", False, False, False, False),
    ],
)
def test_what_kubernetes_takes_where(
    text: str, label: bool, object_name: bool, key: bool, value: bool
) -> None:
    """Four kinds of names, from strict to lax."""
    assert is_dns_label(text) is label
    assert is_object_name(text) is object_name
    assert is_label_key(text) is key
    assert is_label_value(text) is value


@given(st.text())
def test_any_text_gives_a_label_value(text: str) -> None:
    """Versions have a plus sign in them: ``0.2.0+local``."""
    assert is_label_value(label_value(text))
    assert label_value("0.2.0+local") == "0.2.0-local"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("paredown", "has no tag"),
        ("localhost:5000/paredown", "has no tag"),
        ("registry.example.org/team/paredown:latest", "has the tag latest"),
        ("paredown:latest", "has the tag latest"),
    ],
)
def test_no_tag_and_the_tag_latest_are_warned_of(reference: str, said: str) -> None:
    """A port is no tag."""
    (warning,) = image_warnings(reference)
    assert f"The image {reference} {said}" in warning


@pytest.mark.parametrize(
    "reference",
    ["paredown:0.1.0", f"paredown{DIGEST}", f"localhost:5000/paredown:latest{DIGEST}"],
)
def test_a_version_and_a_digest_are_not(reference: str) -> None:
    """A digest decides, whatever the tag is."""
    assert image_warnings(reference) == []
