"""What the environment says of a store: permanent errors have exit code 3 and name their source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from job.errors import InputError
from job.manifest.storage import StorageConfig
from job.storage.backend import Stores
from job.storage.place import parse_s3
from job.storage.s3_client import Store
from tests.support.identities import IDENTITIES, MODELS
from tests.support.seaweed import Seaweed

KEYS = {"AWS_ACCESS_KEY_ID": "AKEY", "AWS_SECRET_ACCESS_KEY": "hush"}
STORE = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}
ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader"}
VARIABLES = {
    "a key made with echo": ({"AWS_ACCESS_KEY_ID": "AKEY\n"}, "AWS_ACCESS_KEY_ID"),
    "a secret made with echo": ({"AWS_SECRET_ACCESS_KEY": "hush\n"}, "AWS_SECRET_ACCESS_KEY"),
    "on Windows": ({"AWS_SECRET_ACCESS_KEY": "hush\r\n"}, "AWS_SECRET_ACCESS_KEY"),
    "before it": ({"AWS_SECRET_ACCESS_KEY": "\thush"}, "AWS_SECRET_ACCESS_KEY"),
    "a token": ({"AWS_SESSION_TOKEN": "hush\n"}, "AWS_SESSION_TOKEN"),
    "its old name": ({"AWS_SECURITY_TOKEN": "hush\n"}, "AWS_SECURITY_TOKEN"),
    "in quotes": ({"AWS_SECRET_ACCESS_KEY": '"hush"'}, "AWS_SECRET_ACCESS_KEY"),
    "not ASCII": ({"AWS_ACCESS_KEY_ID": "hüsh"}, "AWS_ACCESS_KEY_ID"),
    "a region": ({"AWS_REGION": "us-east-1\n"}, "AWS_REGION"),
    "another region": ({"AWS_DEFAULT_REGION": "us east"}, "AWS_DEFAULT_REGION"),
    "no scheme": ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:9"}, "AWS_ENDPOINT_URL_S3"),
    "no port": ({"AWS_ENDPOINT_URL_S3": "http://h:port"}, "AWS_ENDPOINT_URL_S3"),
    "no web address": ({"AWS_ENDPOINT_URL_S3": "s3://b"}, "AWS_ENDPOINT_URL_S3"),
    "an address's end": ({"AWS_ENDPOINT_URL_S3": "http://h\n"}, "AWS_ENDPOINT_URL_S3"),
    "every address": (
        {"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": "nonsense"},
        "AWS_ENDPOINT_URL",
    ),
    "a proxy": ({"HTTPS_PROXY": "http://user:hush@proxy\n"}, "HTTPS_PROXY"),
    "a profile": ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
    "a profile's end": ({"AWS_PROFILE": "default\n"}, "AWS_PROFILE"),
    "certificates": (
        {"AWS_ENDPOINT_URL_S3": "https://h", "AWS_CA_BUNDLE": "/nowhere/ca.pem"},
        "/nowhere/ca.pem (AWS_CA_BUNDLE)",
    ),
    "no certificates": (
        {"AWS_ENDPOINT_URL_S3": "https://h", "AWS_CA_BUNDLE": __file__},
        f"{__file__} (AWS_CA_BUNDLE)",
    ),
}
FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"},
    "AWS_CONFIG_FILE": {"AWS_CONFIG_FILE": "/nowhere"},
    "a folder": {"AWS_SHARED_CREDENTIALS_FILE": "/"},
    "a token": ROLE | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"},
    "an empty token": ROLE | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/dev/null"},
}
PROFILES = {
    "a comment": ("AKEY", "hush # mine", "aws_secret_access_key"),
    "two lines": ("AKEY", "hu\n  sh", "aws_secret_access_key"),
    "quotes": ("'AKEY'", "hush", "aws_access_key_id"),
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables nor files of this machine."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def refusal(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> InputError:
    """Of a client for a store that nobody asks anything."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        Store(StorageConfig(), pytest.fail)
    for said in (str(caught.value), repr(caught.value)):
        assert "hush" not in said
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("case", VARIABLES)
def test_an_invalid_variable_is_named(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its value is not."""
    variables, name = VARIABLES[case]
    error = refusal(monkeypatch, KEYS | STORE | variables)
    assert error.exit_code == 3
    assert name in error.where.split("variable ")[-1]


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_not_there_is_named(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that names it."""
    error = refusal(monkeypatch, STORE | FILES[case])
    *_, (name, path) = FILES[case].items()
    assert error.where.startswith(path)
    assert name in str(error)


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_and_its_file_are_named(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither comments nor quotes are what they look like there."""
    key, secret, field = PROFILES[case]
    path = tmp_path / "credentials"
    path.write_text(f"[night]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    named = {"AWS_PROFILE": "night", "AWS_SHARED_CREDENTIALS_FILE": str(path)}
    error = refusal(monkeypatch, STORE | named)
    assert error.where == f"{field} of the profile 'night' in {path}"


def test_what_the_manifest_says_goes_before_and_files_that_are_not_needed_do_not_matter(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real store is read by a profile, whatever variables say that are not used."""
    seaweed.client().put_object(Bucket=MODELS, Key="settings/m.h5", Body=b"content")
    access, secret, _ = IDENTITIES["job"]
    path = tmp_path / "credentials"
    path.write_text(f"[p]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    unused = {"AWS_ENDPOINT_URL_S3": "nonsense", "AWS_REGION": "a b", "AWS_CA_BUNDLE": "/nowhere"}
    named = {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_CONFIG_FILE": "/nowhere"}
    for name, value in (
        unused | named | {"AWS_PROFILE": "nobody", "NO_PROXY": "127.0.0.1"}
    ).items():
        monkeypatch.setenv(name, value)
    place = parse_s3(f"s3://{MODELS}/settings/m.h5")
    config = StorageConfig(endpoint_url=seaweed.url(), region="us-east-1", profile="p")
    found = Stores(pytest.fail).reader(place, config).stat(place, "Reading")
    assert found is not None
    assert found.bytes == 7


def test_the_region_is_that_of_the_variable_that_all_others_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``AWS_REGION``; botocore itself does not."""
    for name, value in (KEYS | STORE | {"AWS_REGION": "eu-central-1"}).items():
        monkeypatch.setenv(name, value)
    assert Store(StorageConfig(), pytest.fail).client.meta.region_name == "eu-central-1"
    other = Store(StorageConfig(region="eu-west-1"), pytest.fail)
    assert other.client.meta.region_name == "eu-west-1"
