"""Inputs on a web server: one file, over https alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from job.errors import InputError, StorageError, from_os_error
from job.manifest.storage import StorageConfig
from job.store.found import Advance, Fetched, Found, Item
from job.store.local_source import DATA, MODEL
from job.store.stores import Stores
from job.store.uri import Place

TRIES = 8
PAUSE_S = 0.5
TIMEOUT = urllib3.Timeout(connect=10, read=60)
CHUNK = 1 << 20
RESERVE_BYTES = 64 << 20
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "paredown"}
RETRIES = urllib3.Retry(
    total=TRIES,
    backoff_factor=PAUSE_S,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    redirect=5,
)


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
    with _answer("HEAD", place, config, doing, {}) as answer:
        _count(stores, answer)
        length = answer.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise InputError(
                f"{doing} failed: the server does not say how large the file is.",
                where=str(place),
                hint="Download it, and give its path.",
            )
        return Found(place, (Item(place.name or "file", place, int(length), _etag(answer)),))


def fetch(
    found: Found, folder: Path, stores: Stores, config: StorageConfig, advance: Advance
) -> Fetched:
    """Download the file; where the answer breaks off, the rest is asked for.

    Raises:
        InputError: Where it is too large, or was changed meanwhile.
        StorageError: Where the server fails, or there is no room on the disk.
    """
    (item,) = found.items
    doing = "Downloading"
    if item.bytes > config.max_object_bytes:
        raise InputError(
            f"The file has {item.bytes:,} bytes, more than storage.max_object_bytes.",
            where=str(found.place),
            hint="Check that it is the right one; if it is, raise max_object_bytes.",
        )
    if item.bytes + RESERVE_BYTES > shutil.disk_usage(folder).free:
        raise StorageError(
            f"There is no room for the download of {item.bytes:,} bytes.",
            where=str(folder),
            hint="Free some space, or point TMPDIR at a larger disk.",
        )
    target = folder / "".join(it if it.isalnum() or it in "._-" else "_" for it in item.name)[-100:]
    digest = hashlib.sha256()
    done = 0
    try:
        with target.open("wb") as file:
            for left in reversed(range(TRIES)):
                try:
                    for chunk in _rest(item, done, config, doing):
                        file.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        advance(len(chunk))
                    break
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    if isinstance(error, OSError) and error.errno is not None and not left:
                        raise
                    if not left or item.etag is None:
                        raise StorageError(
                            f"{doing} failed: the answer broke off after {done:,} bytes.",
                            where=str(found.place),
                            hint="Check the network, and run again.",
                        ) from None
                    stores.others["GET"] += 1
    except OSError as error:
        raise from_os_error(error, doing, writing=True, place=target) from None
    if done != item.bytes:
        raise StorageError(
            f"{doing} failed: {done:,} bytes came, not {item.bytes:,}.",
            where=str(found.place),
            hint="Run again when nobody writes there.",
        )
    how = "verified by its size alone: pin its sha256 in the manifest"
    return Fetched({item.name: target}, (done, digest.hexdigest()), how, found.mark)


def read(place: Place, config: StorageConfig, most: int, doing: str) -> bytes:
    """A small file's content.

    Raises:
        InputError: Where there is none, or it has more than ``most`` bytes.
        StorageError: Where the server fails.
    """
    with _answer("GET", place, config, doing, {}) as answer:
        content: bytes = answer.read(most + 1)
    if len(content) > most:
        raise InputError(f"{doing} failed: it has more than {most:,} bytes.", where=str(place))
    return content


def _rest(item: Item, done: int, config: StorageConfig, doing: str) -> Iterator[bytes]:
    asked = {"Range": f"bytes={done}-", "If-Range": item.etag} if done and item.etag else {}
    with _answer("GET", item.place, config, doing, asked) as answer:
        if _etag(answer) != item.etag or (done and answer.status != 206):
            raise InputError(
                "The file was changed while the job ran, or the server can't send a part of it.",
                where=str(item.place),
                hint="Run the job again, or download the file and give its path.",
            )
        yield from answer.stream(CHUNK)


@contextmanager
def _answer(
    method: str, place: Place, config: StorageConfig, doing: str, headers: dict[str, str]
) -> Iterator[Any]:
    """The server's answer, where it is one of success."""
    try:
        answer: Any = _pool(config).request(
            method,
            str(place),
            headers=HEADERS | headers,
            retries=RETRIES,
            timeout=TIMEOUT,
            preload_content=False,
        )
    except urllib3.exceptions.MaxRetryError as error:
        if isinstance(error.reason, urllib3.exceptions.SSLError):
            raise InputError(
                f"{doing} failed: the server's certificate is not trusted.",
                where=str(place),
                hint="Set AWS_CA_BUNDLE, SSL_CERT_FILE or storage.ca_bundle to its authority's "
                "PEM file.",
            ) from None
        raise StorageError(
            f"{doing} failed after all retries: {error.reason}.",
            where=str(place),
            hint="Check the address and the network, and run again.",
        ) from None
    try:
        _refuse(answer, place, doing)
        yield answer
    finally:
        answer.drain_conn() if method == "HEAD" else answer.close()
        answer.release_conn()


def _refuse(answer: Any, place: Place, doing: str) -> None:
    url = answer.url or ""
    if "://" in url and not url.startswith("https://"):
        raise InputError(
            f"{doing} failed: the server sends on to an address that is not https.",
            where=str(place),
            hint="Download the file, and give its path.",
        )
    if answer.status in (200, 206):
        return
    if answer.status == 429 or answer.status >= 500:
        raise StorageError(
            f"{doing} failed after all retries: the server answers {answer.status}.",
            where=str(place),
            hint="Run again later.",
        )
    reasons = {401: "access denied", 403: "access denied", 404: "there is no such file"}
    raise InputError(
        f"{doing} failed: {reasons.get(answer.status, 'the server refuses')} ({answer.status}).",
        where=str(place),
        hint="Check the address. Files behind a login can be downloaded first.",
    )


def _pool(config: StorageConfig) -> urllib3.PoolManager:
    context = ssl.create_default_context(cafile=config.ca_bundle or os.environ.get("AWS_CA_BUNDLE"))
    proxy = urllib.request.getproxies().get("https")
    if proxy:
        return urllib3.ProxyManager(proxy, ssl_context=context)
    return urllib3.PoolManager(ssl_context=context)


def _etag(answer: Any) -> str | None:
    """A strong ETag; a weak one does not promise the same bytes."""
    etag: str | None = answer.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else etag


def _count(stores: Stores, answer: Any) -> None:
    again = len([it for it in answer.retries.history if it.status is None or it.status >= 400])
    if again:
        stores.others[str(answer.retries.history[0].method)] += again
