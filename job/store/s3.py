"""S3-compatible storage: clients, and what its refusals mean.

Credentials come from the standard AWS chain (environment, profile, web identity, instance role) and
go nowhere else. Requests that fail are sent again by botocore, in its mode ``standard``; each such
time is counted and said.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions as boto
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore import UNSIGNED
from botocore.config import Config
from s3transfer.exceptions import RetriesExceededError as PartRetriesExceededError
from urllib3.exceptions import HTTPError

from job.errors import (
    InputError,
    InterruptedRunError,
    ParedownError,
    StorageError,
    from_os_error,
)
from job.manifest.storage import StorageConfig
from job.store.uri import Place

# Pauses between them double up to 20 s, times a random fraction: they outlast a store that is away
# for half a minute. AWS_MAX_ATTEMPTS says otherwise.
MAX_ATTEMPTS = 14
# Sending is under this one, too, so it is no shorter.
CONNECT_TIMEOUT_S = 30
READ_TIMEOUT_S = 60
MIB = 1 << 20
# Above this an object goes up in parts, and comes down in ranges.
PART_BYTES = 8 * MIB
THREADS = 8
TRANSFER = TransferConfig(
    multipart_threshold=PART_BYTES,
    multipart_chunksize=PART_BYTES,
    max_concurrency=THREADS,
    # What waits to be written is in memory.
    max_io_queue=128,
    preferred_transfer_client="classic",  # the other one has neither these retries nor limits
)

DENIED = {
    "SignatureDoesNotMatch": "The secret key is not the one that belongs to the access key.",
    "InvalidAccessKeyId": "The store does not know this access key.",
    "ExpiredToken": "The credentials have expired: renew them and run again.",
    "ExpiredTokenException": "The credentials have expired: renew them and run again.",
    "RequestTimeTooSkewed": "This machine's clock is wrong: set it.",
    "RequestExpired": "The credentials have expired, or this machine's clock is wrong.",
}
MAY = (
    "Check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, the role), and what they may do there."
)
UNAVAILABLE = {
    *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"),
    *("ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded"),
    # What arrived is not what was sent.
    *("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
    *("IncompleteBody", "NoSuchUpload", "OperationAborted", "ConditionalRequestConflict"),
}
TRANSFER_ERRORS = (S3UploadFailedError, RetriesExceededError, PartRetriesExceededError)
# The store is not there, or what came is not what was sent.
GONE = (
    *(boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError),
    boto.FlexibleChecksumError,
    HTTPError,  # botocore does not translate what breaks off in a refusal's words
)
# OpenSSL's words.
UNTRUSTED, NO_TLS = "CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"
NEVER = (UNTRUSTED, NO_TLS)
MISSING = ("404", "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchUpload")
TAKEN = ("412", "PreconditionFailed", "ConditionalRequestConflict", "409")


class Store:
    """A client, and how often it had to ask again."""

    def __init__(self, config: StorageConfig, warn: Callable[[str], None]) -> None:
        """Make a client.

        Raises:
            InputError: Where the AWS configuration does not make one.
        """
        self.config = config
        self.retries: Counter[str] = Counter()
        """By operation, the requests that were sent again."""
        self.asked: Counter[str] = Counter()
        """By key, how often an object, or a range of it, was asked for."""
        self.warn = warn
        self._lock = threading.Lock()
        with in_words("Connecting", Place("s3", "")):
            self.client = _client(config)
        events = self.client.meta.events
        events.register("request-created.s3", self._count)
        events.register("before-parameter-build.s3.GetObject", self._note)
        events.register_first("needs-retry.s3", _give_up)

    def transfer(self) -> Any:
        """What moves files, in parallel parts; a context, which ends what moves still."""
        return create_transfer_manager(self.client, TRANSFER)

    def _count(self, request: Any, operation_name: str, **_: object) -> None:
        attempt = request.context.get("retries", {}).get("attempt", 1)
        if attempt > 1:
            self.count(operation_name)

    def _note(self, params: Any, **_: object) -> None:
        with self._lock:
            self.asked[params["Key"]] += 1

    def count(self, operation: str) -> None:
        """Count a request that is sent again; the first is told of."""
        with self._lock:
            is_first = not self.retries
            self.retries[operation] += 1
        if is_first:
            self.warn(f"The store failed or did not answer ({operation}); it is asked again.")


def _client(config: StorageConfig) -> Any:
    session = boto3.Session(profile_name=config.profile, region_name=config.region)
    options: dict[str, Any] = {"signature_version": UNSIGNED} if config.anonymous else {}
    try:
        return session.client(
            "s3",
            region_name=session.region_name or "us-east-1",
            endpoint_url=config.endpoint_url,
            verify=_ca_bundle(config.ca_bundle),
            config=Config(
                retries=_retries(),
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                max_pool_connections=2 * THREADS,
                s3={"addressing_style": config.addressing_style},
                request_checksum_calculation=config.checksums,
                response_checksum_validation="when_supported",
                tcp_keepalive=True,
                **options,
            ),
        )
    except ValueError as error:  # botocore's word for an address that is none
        raise InputError(
            f"Connecting failed: {_line(error)}.",
            hint="Check the store's address (AWS_ENDPOINT_URL_S3, or storage.endpoint_url).",
        ) from None


def _give_up(caught_exception: Exception | None, **_: object) -> None:
    """Do not ask again what no time mends: botocore takes it for a connection that broke off, and
    even a signal, whose handler raises while a request is on its way.
    """
    if isinstance(caught_exception, boto.HTTPClientError):
        inner = caught_exception.kwargs.get("error")
        if isinstance(inner, InterruptedRunError):
            raise inner
    if isinstance(caught_exception, boto.SSLError) and any(
        it in str(caught_exception) for it in NEVER
    ):
        raise caught_exception


def _retries() -> dict[str, Any]:
    attempts = os.environ.get("AWS_MAX_ATTEMPTS", "")
    most = int(attempts) if attempts.isascii() and attempts.isdecimal() else 0
    return {"mode": "standard", "total_max_attempts": most or MAX_ATTEMPTS}


def _ca_bundle(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise InputError(
            "There is no such file of certificates.", where=path, hint="Check storage.ca_bundle."
        )
    return path


@contextmanager
def in_words(doing: str, place: Place) -> Iterator[None]:
    """Turn what boto3 raises into errors of this program.

    Args:
        doing: What is being done, as a sentence's start: "Reading the model".
        place: The bucket and key that it is done with.

    Raises:
        InputError: Where the store refuses: access denied, no such bucket, no such key.
        StorageError: Where it fails or can't be reached, after all retries.
    """
    try:
        yield
    except BOTO_ERRORS as error:
        raise _translate(error, doing, place) from None
    except RecursionError:  # botocore follows a store that sends on to itself without end
        raise InputError(
            f"{doing} failed: the store sends on to another address, and on again.",
            where=str(place),
            hint="Set AWS_REGION, or storage.region, and check the store's address.",
        ) from None
    except OSError as error:
        raise from_os_error(error, doing, writing=True, place=place) from None


def _translate(error: Exception, doing: str, place: Place) -> ParedownError:
    if isinstance(error, TRANSFER_ERRORS):
        inner = getattr(error, "last_exception", None) or error.__cause__ or error.__context__
        if isinstance(inner, boto.ClientError):
            return refusal(inner, doing, place)
        return _unavailable(inner or error, doing, place)
    for kinds, translate in MEANINGS:
        if isinstance(error, kinds):
            return translate(error, doing, place)
    return InputError(
        f"{doing} failed: {_line(error)}.",
        where=str(place),
        hint="Check the manifest's storage, and the AWS configuration of this machine.",
    )


def _no_credentials(error: Exception, doing: str, place: Place) -> ParedownError:
    return InputError(
        f"{doing} failed: there are no credentials for the store ({_line(error)}).",
        where=str(place),
        hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or a role; for a "
        'public bucket set "anonymous": true under storage.',
    )


def _misconfigured(error: Exception, doing: str, place: Place) -> ParedownError:
    return InputError(f"{doing} failed: {_line(error)}.", where=str(place), hint=MAY)


def code_of(error: boto.ClientError) -> str:
    """The store's word for what is wrong: ``NoSuchKey``, ``SlowDown``, ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refusal(error: Any, doing: str, place: Place) -> ParedownError:
    """What a refusal of the store means for the run."""
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = error.response.get("Error", {}).get("Message", "")
    said = f"{error.operation_name}: {code}" + (f", {message}" if message else "")
    if code == "NoSuchBucket" or (code in MISSING and error.operation_name == "HeadBucket"):
        return InputError(
            f"{doing} failed: there is no bucket {place.host} ({error.operation_name}).",
            where=str(place),
            hint="Check the bucket's name, and the store's address (AWS_ENDPOINT_URL_S3).",
        )
    if code in UNAVAILABLE or status >= 500 or status == 429:
        return _unavailable(f"{said} (status {status})", doing, place)
    if status in (401, 403) or code in DENIED:
        return InputError(
            f"{doing} failed: access denied ({said}).",
            where=str(place),
            hint=DENIED.get(code, MAY),
        )
    if code in MISSING:
        return InputError(
            f"{doing} failed: there is no such object ({error.operation_name}).",
            where=str(place),
            hint="Check the URI; in a manifest, a relative one is relative to the manifest.",
        )
    if status in (301, 307, 308, 400) and "region" in f"{code}{message}".lower():
        return InputError(
            f"{doing} failed: {said}.", where=str(place), hint="Set AWS_REGION, or storage.region."
        )
    return InputError(
        f"{doing} failed: the store refused it ({said}, status {status}).",
        where=str(place),
        hint="Check what the store supports; see addressing_style and checksums under storage.",
    )


def _tls(error: Exception, doing: str, place: Place) -> ParedownError:
    """A bad certificate; or a connection that broke off, which is told as a TLS error, too."""
    if UNTRUSTED in str(error):
        return InputError(
            f"{doing} failed: the store's certificate is not trusted ({_line(error)}).",
            where=str(place),
            hint="Set AWS_CA_BUNDLE, or storage.ca_bundle, to the PEM file of its authority.",
        )
    if NO_TLS in str(error):
        return InputError(
            f"{doing} failed: the store does not speak https at this address.",
            where=str(place),
            hint="Check the address (AWS_ENDPOINT_URL_S3): http:// or https://, and the port.",
        )
    return _unavailable(error, doing, place)


def _unavailable(why: object, doing: str, place: Place) -> StorageError:
    return StorageError(
        f"{doing} failed after all retries: {_line(why)}.",
        where=str(place),
        hint="Check the store and the network, and run again.",
    )


def _line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")


BOTO_ERRORS = (boto.ClientError, boto.BotoCoreError, HTTPError, *TRANSFER_ERRORS)
# What botocore's errors mean, the first that fits.
MEANINGS: tuple[tuple[Any, Callable[[Exception, str, Place], ParedownError]], ...] = (
    (boto.ClientError, refusal),
    ((boto.NoCredentialsError, boto.PartialCredentialsError), _no_credentials),
    (boto.SSLError, _tls),
    (
        (boto.CredentialRetrievalError, boto.ProfileNotFound, boto.ParamValidationError),
        _misconfigured,
    ),
    (GONE, _unavailable),
)
