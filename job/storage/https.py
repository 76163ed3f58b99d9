"""Inputs on a web server: one file, over https alone."""

from __future__ import annotations

import hashlib
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from job.errors import InputError, StorageError, from_os_error
from job.manifest.storage import StorageConfig
from job.storage.found import Advance, Fetched, Found, Item
from job.storage.local_source import DATA, MODEL
from job.storage.place import Place
from job.storage.retry import attempts
from job.storage.stores import Stores

# The first pause between two attempts; each is twice the one before, up to the longest.
PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
TIMEOUT = urllib3.Timeout(connect=10, read=60)
CHUNK = 1 << 20
REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "paredown"}
REASONS = {401: "access denied", 403: "access denied", 404: "there is no such file"}

T = TypeVar("T")


def find_model(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """A model's file, by a HEAD request.

    Raises:
        InputError: Where there is none.
        StorageError: Where the server fails.
    """
    return _find(place, stores, config, MODEL)


def find_data(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """A data set's file, as ``find_model``; a web server has no patterns."""
    return _find(place, stores, config, DATA)


def _find(place: Place, stores: Stores, config: StorageConfig, doing: str) -> Found:
    def look() -> tuple[str, str | None]:
        with _answer("HEAD", place, config, doing) as answer:
            return answer.headers.get("Content-Length", ""), _etag(answer)

    most = attempts(stores.warn)
    length, etag = _persist(look, place, doing, most, lambda: stores.count("HEAD"))
    if not length.isdecimal():
        raise InputError(
            f"{doing} failed: the server does not say how large the file is.",
            where=str(place),
            hint="Download it, and give its path.",
        )
    return Found(place, (Item(place.name or "file", place, int(length), etag),))


def fetch(
    found: Found, folder: Path, stores: Stores, config: StorageConfig, advance: Advance
) -> Fetched:
    """Download the file; where the answer breaks off, the rest is asked for.

    Raises:
        InputError: Where it was changed meanwhile.
        StorageError: Where the server fails, or the disk is full.
    """
    (item,) = found.items
    doing = "Downloading"
    target = folder / "".join(it if it.isalnum() or it in "._-" else "_" for it in item.name)[-100:]
    digest = hashlib.sha256()
    most = attempts(stores.warn)

    def get_the_rest() -> None:
        for chunk in _rest(item, file.tell(), config, doing):
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))

    try:
        with target.open("wb") as file:
            _persist(get_the_rest, item.place, doing, most, lambda: stores.count("GET"))
    except OSError as error:
        raise from_os_error(error, doing, writing=True, place=target) from None
    how = "verified by its size alone: pin its sha256 in the manifest"
    return Fetched({item.name: target}, (item.bytes, digest.hexdigest()), how, found.mark)


def _rest(item: Item, done: int, config: StorageConfig, doing: str) -> Iterator[bytes]:
    """What comes after so many bytes. Raises urllib3's HTTPError where it breaks off."""
    asked = {"Range": f"bytes={done}-", "If-Range": item.etag or ""} if done else {}
    if done == item.bytes:
        return
    with _answer("GET", item.place, config, doing, asked) as answer:
        length = answer.headers.get("Content-Length", "")
        if (
            _etag(answer) != item.etag
            or length not in ("", str(item.bytes - done))
            or (done and (item.etag is None or answer.status != 206))
        ):
            raise InputError(
                "The file was changed while the job ran, or the server can't send a part of it.",
                where=str(item.place),
                hint="Run the job again, or download the file and give its path.",
            )
        for chunk in answer.stream(CHUNK):
            done += len(chunk)
            yield chunk
    if done != item.bytes:
        raise HTTPError(f"{done:,} bytes came, not {item.bytes:,}")


def read(
    place: Place, config: StorageConfig, most: int, doing: str, warn: Callable[[str], None]
) -> bytes:
    """A small file's content.

    Args:
        place: Where it is.
        config: How it is reached.
        most: The bytes that it may have.
        doing: What is being done, as a sentence's start.
        warn: Is told what a user should know of.

    Raises:
        InputError: Where there is none, or it has more than ``most`` bytes.
        StorageError: Where the server fails.
    """

    def get() -> bytes:
        with _answer("GET", place, config, doing) as answer:
            return b"".join(_limited(answer, most))

    content = _persist(get, place, doing, attempts(warn), lambda: None)
    if len(content) > most:
        raise InputError(f"{doing} failed: it has more than {most:,} bytes.", where=str(place))
    return content


def _limited(answer: Any, most: int) -> Iterator[bytes]:
    done = 0
    while done <= most and (chunk := answer.read(CHUNK)):
        done += len(chunk)
        yield chunk


def _persist(
    ask: Callable[[], T], place: Place, doing: str, most: int, count: Callable[[], None]
) -> T:
    """Ask, and where the server fails or is not there, again, ``most`` times in all."""
    for again in range(most):
        try:
            return ask()
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(reason):
                raise InputError(
                    f"{doing} failed: the server's certificate is not trusted.",
                    where=str(place),
                    hint="Set AWS_CA_BUNDLE, SSL_CERT_FILE or storage.ca_bundle to the PEM file of "
                    "its authority.",
                ) from None
        if again < most - 1:
            count()
            time.sleep(min(PAUSE_S * 2 ** min(again, 32), LONGEST_PAUSE_S))
    raise StorageError(
        f"{doing} failed after all retries: {reason}.",
        where=str(place),
        hint="Check the address and the network, and run again.",
    )


@contextmanager
def _answer(
    method: str,
    place: Place,
    config: StorageConfig,
    doing: str,
    headers: dict[str, str] | None = None,
) -> Iterator[Any]:
    """The server's answer, where it is one of success."""
    with _pool(config) as pool:
        answer: Any = pool.request(
            method,
            str(place),
            headers=HEADERS | (headers or {}),
            retries=REDIRECTS,
            timeout=TIMEOUT,
            preload_content=False,
        )
        _refuse(answer, place, doing)
        yield answer


def _refuse(answer: Any, place: Place, doing: str) -> None:
    url = answer.url or ""
    if "://" in url and not url.startswith("https://"):
        raise InputError(
            f"{doing} failed: the server sends on to an address that is not https.",
            where=str(place),
            hint="Download the file, and give its path.",
        )
    if answer.status == 429 or answer.status >= 500:
        raise HTTPError(f"the server answers {answer.status}")
    if answer.status not in (200, 206):
        reason = REASONS.get(answer.status, "the server refuses")
        raise InputError(
            f"{doing} failed: {reason} ({answer.status}).",
            where=str(place),
            hint="Check the address. Files behind a login can be downloaded first.",
        )


def _pool(config: StorageConfig) -> Any:
    trusted = config.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
    try:
        context = ssl.create_default_context(cafile=trusted)
    except OSError as error:
        doing = "Reading the certificates"
        raise from_os_error(error, doing, writing=False, place=trusted) from None
    proxy = urllib.request.getproxies().get("https")
    if proxy:
        return urllib3.ProxyManager(proxy, ssl_context=context)
    return urllib3.PoolManager(ssl_context=context)


def _etag(answer: Any) -> str | None:
    """A strong ETag; a weak one does not promise the same bytes."""
    etag: str | None = answer.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else etag
