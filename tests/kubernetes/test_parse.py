"""Values of the command line, and one message for each that is not allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from job.errors import ManifestError
from job.kubernetes import parse
from job.kubernetes.parse import Toleration

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
