"""S3-compatible storage: clients.

Credentials come from the standard AWS chain (environment, profile, web identity, instance role) and
go nowhere else. Requests that fail are sent again by botocore, in its mode ``standard``; each of
these retries is counted, and the first is reported.
"""

from __future__ import annotations

import base64
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions as boto
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from job.errors import InputError, InterruptedRunError
from job.manifest.storage import StorageConfig
from job.storage import s3_settings
from job.storage.place import Place
from job.storage.retry import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, THREADS, attempts
from job.storage.s3_errors import MISSING, NEVER, code_of, translated

MIB = 1 << 20
# Above this an object goes up in parts, and comes down in ranges.
PART_BYTES = 8 * MIB
# The error of a HEAD request has no body that says why.
NO_REASON = ("400", "403")


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
        self.warn = warn
        self._lock = threading.Lock()
        with translated("Connecting", Place("s3", "")):
            self.client = _client(config, attempts(warn))
        events = self.client.meta.events
        events.register("request-created.s3", self._count)
        events.register_first("needs-retry.s3", _give_up)

    def head(self, place: Place, **options: object) -> dict[str, Any] | None:
        """The answer to a HEAD request, with checksums; None where there is no such key or bucket.

        Raises:
            botocore's errors.
        """
        if self.config.checksums == "when_supported":
            options["ChecksumMode"] = "ENABLED"
        try:
            head: dict[str, Any] = self.client.head_object(**address(place), **options)
        except boto.ClientError as error:
            if code_of(error) in MISSING:
                return None
            if code_of(error) in NO_REASON:  # the error of a GET request has a body
                self.client.get_object(**address(place), Range="bytes=0-0")
            raise
        return head

    def checksum(self, sha256: bytes) -> dict[str, str]:
        """The option that tells the store the SHA-256. As a header it is no trailer, which would
        make the object's ContentEncoding ``aws-chunked``.
        """
        if self.config.checksums != "when_supported":
            return {}
        return {"ChecksumSHA256": base64.b64encode(sha256).decode()}

    def _count(self, request: Any, operation_name: str, **_: object) -> None:
        attempt = request.context.get("retries", {}).get("attempt", 1)
        if attempt > 1:
            self.count(operation_name)

    def count(self, operation: str) -> None:
        """Count a request that is sent again; the first is reported."""
        with self._lock:
            is_first = not self.retries
            self.retries[operation] += 1
        if is_first:
            self.warn(f"The store failed or did not answer ({operation}); it is asked again.")


def address(place: Place) -> dict[str, str]:
    """An object's place, as the client's methods take it."""
    return {"Bucket": place.host, "Key": place.path}


def _client(config: StorageConfig, max_attempts: int) -> Any:
    s3_settings.check_variables(config)
    inner = botocore.session.Session()
    # Times stay text, as in the AWS CLI: parsing them is half of the time of a listing.
    inner.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    try:
        session = boto3.Session(
            profile_name=config.profile,
            region_name=config.region or s3_settings.region(),
            botocore_session=inner,
        )
    except boto.ProfileNotFound:
        raise s3_settings.no_profile(config) from None
    s3_settings.check_credentials(session, config)
    options: dict[str, Any] = {"signature_version": UNSIGNED} if config.anonymous else {}
    addressing: dict[str, Any] = {"addressing_style": config.addressing_style}
    if config.checksums == "when_supported":
        # The signature is also of the content's checksum, which says as much as the content, and
        # need not be computed twice by either side.
        addressing["payload_signing_enabled"] = False
    try:
        client = session.client(
            "s3",
            region_name=session.region_name or "us-east-1",
            endpoint_url=config.endpoint_url,
            verify=_ca_bundle(config.ca_bundle),
            config=Config(
                retries={"mode": "standard", "total_max_attempts": max_attempts},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                max_pool_connections=2 * THREADS,
                s3=addressing,
                request_checksum_calculation=config.checksums,
                response_checksum_validation="when_supported",
                tcp_keepalive=True,
                **options,
            ),
        )
    except boto.InvalidRegionError:
        raise s3_settings.invalid_region(config) from None
    except ValueError:  # botocore's error for an invalid address
        raise s3_settings.invalid_endpoint(config) from None
    s3_settings.check_endpoint(client.meta.endpoint_url, config)
    if client.meta.endpoint_url.startswith("https:"):
        s3_settings.check_certificates(_certificates(inner, config), config)
    return client


def _certificates(session: Any, config: StorageConfig) -> object:
    """The file that botocore will use; this is how it chooses."""
    chosen = config.ca_bundle or session.get_config_variable("ca_bundle")
    return chosen or os.environ.get("REQUESTS_CA_BUNDLE")


def _give_up(caught_exception: Exception | None, **_: object) -> None:
    """Do not retry permanent errors: botocore takes them for a connection that broke off, and even
    a signal, whose handler raises while a request is on its way.
    """
    if isinstance(caught_exception, boto.HTTPClientError):
        inner = caught_exception.kwargs.get("error")
        if isinstance(inner, InterruptedRunError):
            raise inner
    if isinstance(caught_exception, boto.SSLError) and any(
        text in str(caught_exception) for text in NEVER
    ):
        raise caught_exception


def _ca_bundle(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise InputError(
            "There is no such file of certificates.", where=path, hint="Check storage.ca_bundle."
        )
    return path
