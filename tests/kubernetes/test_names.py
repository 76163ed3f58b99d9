"""Whatever a manifest or an option is called, objects have names that Kubernetes takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.kubernetes.names import (
    MAX_JOB_NAME,
    dns_label,
    image_warnings,
    is_dns_label,
    is_label_key,
    is_label_value,
    is_object_name,
    label_value,
)
from tests.kubernetes.rendered import BATCH, JOB, documents

DIGEST = "@sha256:" + "0" * 64
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


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
