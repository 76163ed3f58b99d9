"""What a store's refusals and failures mean: botocore's errors -> errors of this program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.exceptions as boto
from urllib3.exceptions import HTTPError

from job.errors import InputError, ParedownError, StorageError, from_os_error
from job.storage.place import Place
from job.text import first_line

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
# So that who may not list a bucket does not learn what is in it.
OR_MISSING = (
    " Check the names too: to keys that may not list it, some stores answer 403 for a bucket or an "
    "object that is not there."
)
UNAVAILABLE = {
    *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"),
    *("ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded"),
    # What arrived is not what was sent.
    *("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
    *("IncompleteBody", "NoSuchUpload", "OperationAborted", "ConditionalRequestConflict"),
}
# The store is not there, or what came is not what was sent.
GONE = (
    *(boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError),
    boto.FlexibleChecksumError,
    HTTPError,  # botocore does not translate what breaks off in an error's body
)
# In OpenSSL's messages. Permanent errors are not retried.
UNTRUSTED, NO_TLS = "CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"
NEVER = (UNTRUSTED, NO_TLS)
MISSING = ("404", "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchUpload")
PRECONDITION_FAILED = ("412", "PreconditionFailed", "ConditionalRequestConflict", "409")


@contextmanager
def translated(doing: str, place: Place) -> Iterator[None]:
    """Turn what botocore raises into errors of this program.

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
    for kinds, translate in MEANINGS:
        if isinstance(error, kinds):
            return translate(error, doing, place)
    return InputError(
        f"{doing} failed: {line_of(error)}.",
        where=str(place),
        hint="Check the manifest's storage, and the AWS configuration of this machine.",
    )


def _no_credentials(error: Exception, doing: str, place: Place) -> ParedownError:
    return InputError(
        f"{doing} failed: there are no credentials for the store ({line_of(error)}).",
        where=str(place),
        hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or a role; for a "
        'public bucket set "anonymous": true under storage.',
    )


def _misconfigured(error: Exception, doing: str, place: Place) -> ParedownError:
    return InputError(f"{doing} failed: {line_of(error)}.", where=str(place), hint=MAY)


def code_of(error: boto.ClientError) -> str:
    """The store's code for what is wrong: ``NoSuchKey``, ``SlowDown``, ``404``."""
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
            hint=DENIED.get(code, MAY + OR_MISSING),
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
    """A bad certificate; or a connection that broke off, which is a TLS error, too."""
    if UNTRUSTED in str(error):
        return InputError(
            f"{doing} failed: the store's certificate is not trusted ({line_of(error)}).",
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
        f"{doing} failed after all retries: {line_of(why)}.",
        where=str(place),
        hint="Check the store and the network, and run again.",
    )


def line_of(error: object) -> str:
    """The first line of an error's message, without a full stop."""
    return first_line(error).rstrip(".")


BOTO_ERRORS = (boto.ClientError, boto.BotoCoreError, HTTPError)
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
