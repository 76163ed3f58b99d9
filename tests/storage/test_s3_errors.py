"""What a store refuses is reported with its reason; permanent errors are not retried."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from job.errors import InputError, ParedownError, StorageError
from job.storage.place import Place
from job.storage.s3 import S3
from tests.storage.conftest import Behind
from tests.support.certificates import Certificates
from tests.support.faults import Faults, status
from tests.support.identities import IDENTITIES, MODELS, PUBLIC, RESULTS, STRANGER, WRONG_KEY
from tests.support.seaweed import Seaweed

JOB = IDENTITIES["job"]
PLACE = Place("s3", "a/model.h5", MODELS)


def refused(
    behind: Behind, place: Place = PLACE, where: str | None = None, **config: object
) -> ParedownError:
    """How looking for an object is refused; at once, with the usual number of retries."""
    os.environ.pop("AWS_MAX_ATTEMPTS", None)
    started = time.monotonic()
    with pytest.raises(ParedownError) as caught:
        S3(behind.store(**config)).stat(place, "Reading the model")
    assert time.monotonic() - started < 10
    assert caught.value.where in ((str(place), "s3:///", "") if where is None else (where,))
    assert caught.value.hint
    return caught.value


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's own configuration plays no part."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ((JOB[0], WRONG_KEY), "secret key is not the one"),
        (STRANGER, "does not know this access key"),
        ((JOB[0], ""), "no credentials|partial credentials"),
        (("", ""), "no credentials"),
    ],
    ids=["wrong secret", "unknown key", "half", "none"],
)
def test_wrong_credentials(
    near: Behind, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str], says: str
) -> None:
    """The reason is reported, and no key of any kind."""
    for name, key in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True):
        if key:
            monkeypatch.setenv(name, key)
        else:
            monkeypatch.delenv(name)
    file = os.environ["AWS_SHARED_CREDENTIALS_FILE"]  # the reason why there are none
    error = refused(near, where=None if any(keys) else file)
    assert isinstance(error, InputError)
    assert any(it in str(error) for it in says.split("|"))
    assert not any(key and key in str(error) for key in keys)


def test_a_profile_that_is_not_there(near: Behind) -> None:
    """Its name is reported."""
    error = refused(near, profile="nobody", where="storage.profile")
    assert isinstance(error, InputError)
    assert "nobody" in error.what


def test_what_one_may_not_do(near: Behind, seaweed: Seaweed) -> None:
    """Others' buckets, and without keys all but what is public."""
    for bucket in ("others", "no-such-bucket"):  # which of them is there, is not reported
        error = refused(near, Place("s3", "a", bucket))
        assert "access denied" in error.what
        assert "answer 403 for a bucket or an object that is not there" in error.hint
    seaweed.client().put_object(Bucket=MODELS, Key=f"{PUBLIC}a", Body=b"a")
    seaweed.client().put_object(Bucket=MODELS, Key="private", Body=b"a")
    public = Place("s3", f"{PUBLIC}a", MODELS)
    assert S3(near.store(anonymous=True)).stat(public, "Reading") is not None
    error = refused(near, Place("s3", "private", MODELS), anonymous=True)
    assert "access denied" in error.what


def test_https_where_there_is_none(near: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """And http where there is https: the address is wrong, which is permanent."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", near.proxy.url.replace("http:", "https:"))
    error = refused(near)
    assert isinstance(error, InputError)
    assert "does not speak https" in error.what
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL_S3", near.seaweed.url(https=True).replace("https:", "http:")
    )
    refused(near)


def test_an_authority_that_is_not_trusted(
    near: Behind, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is named by the manifest, or by the environment, or the store is refused at once."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", near.seaweed.url(https=True))
    error = refused(near)
    assert isinstance(error, InputError)
    assert "certificate is not trusted" in error.what
    assert "ca_bundle" in error.hint
    store = near.store(ca_bundle=str(certificates.authority))
    assert S3(store).stat(PLACE, "Reading") is None
    with pytest.raises(InputError, match="no such file of certificates"):
        near.store(ca_bundle=str(tmp_path / "none.pem"))


def test_a_store_that_is_not_there(near: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come back, so it is asked again before it is given up."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    store = near.store()
    with pytest.raises(StorageError, match="after all retries"):
        S3(store).stat(PLACE, "Reading the model")
    assert store.retries == {"HeadObject": 3}
    assert len(near.warnings) == 1


@pytest.mark.parametrize("number", [500, 503, 429])
def test_a_store_that_fails(near: Behind, number: int) -> None:
    """Exit code 6, with what the store says."""
    near.proxy.add(status(number, "SlowDown"))
    with pytest.raises(StorageError, match=f"{number}"):
        S3(near.store()).stat(PLACE, "Reading the model")


def test_what_no_client_can_be_made_of(near: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is none, in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not an address")
    with pytest.raises(InputError):
        S3(near.store()).stat(PLACE, "Reading the model")


def test_other_addressing(seaweed: Seaweed, near: Behind) -> None:
    """The endpoint of the manifest goes before the environment's."""
    with Faults(seaweed.url()) as other:
        store = near.store(endpoint_url=other.url, region="eu-west-1", addressing_style="path")
        assert S3(store).stat(Place("s3", "none", RESULTS), "Reading") is None
        assert len(other.calls) == 2
    assert near.proxy.calls == []
