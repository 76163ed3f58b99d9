"""Images that are not the same one tomorrow are warned of."""

from __future__ import annotations

import pytest

from job.kubernetes.image import image_warnings

DIGEST = "@sha256:" + "0" * 64


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
