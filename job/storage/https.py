"""Inputs on a web server: one file, over https only."""

from __future__ import annotations

import hashlib
import os
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from job.errors import InputError, StorageError, from_os_error
from job.manifest.storage import StorageConfig
from job.storage import retry
from job.storage.backend import Advance, Downloaded, Item, Stores
from job.storage.checksums import CHUNK
from job.storage.place import Place

TIMEOUT = urllib3.Timeout(connect=retry.WEB_CONNECT_TIMEOUT_S, read=retry.READ_TIMEOUT_S)
REDIRECTS = urllib3.Retry(
    total=None, connect=0, read=0, status=0, other=0, redirect=retry.WEB_REDIRECTS
)
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "paredown"}
REASONS = {401: "access denied", 403: "access denied", 404: "there is no such file"}

T = TypeVar("T")


class Https:
    """Web servers, which are only read; see ``backend.py``."""

    def __init__(self, config: StorageConfig, stores: Stores) -> None:
        self._config = config
        self._stores = stores

    def stat(self, place: Place, doing: str) -> Item:
        """One HEAD request. A file that is not there is an InputError, too."""

        def ask() -> tuple[str, str | None]:
            with self._answer("HEAD", place, doing) as answer:
                return answer.headers.get("Content-Length", ""), _etag(answer)

        length, etag = self._persist(ask, place, doing, "HEAD")
        if not length.isdecimal():
            raise InputError(
                f"{doing} failed: the server does not say how large the file is.",
                where=str(place),
                hint="Download it, and give its path.",
            )
        name = "".join(it if it.isalnum() or it in "._-" else "_" for it in place.name or "file")
        return Item(name[-100:], place, int(length), etag)

    def listing(
        self, folder: Place, doing: str, *, pattern: str = "**", first: str = "", last: str = ""
    ) -> Iterator[Item]:
        """A web server has no folders."""
        return iter(())

    def read(self, place: Place, limit: int, doing: str) -> bytes:
        """One GET request; no more than the limit is read."""

        def ask() -> bytes:
            content = b""
            with self._answer("GET", place, doing) as answer:
                while len(content) <= limit and (chunk := answer.read(CHUNK)):
                    content += chunk
            return content

        content = self._persist(ask, place, doing, "GET")
        if len(content) > limit:
            raise InputError(f"{doing} failed: it has more than {limit:,} bytes.", where=str(place))
        return content

    def download(self, targets: Mapping[Item, Path], advance: Advance) -> list[Downloaded]:
        """One GET request each; where the answer breaks off, the rest is asked for."""
        return [self._download(item, target, advance) for item, target in targets.items()]

    def _download(self, item: Item, target: Path, advance: Advance) -> Downloaded:
        doing = "Downloading"
        digest = hashlib.sha256()

        def get_the_rest() -> None:
            for chunk in self._rest(item, file.tell(), doing):
                file.write(chunk)
                digest.update(chunk)
                advance(len(chunk))

        try:
            with target.open("wb") as file:
                self._persist(get_the_rest, item.place, doing, "GET")
        except OSError as error:
            raise from_os_error(error, doing, writing=True, place=target) from None
        how = "verified by its size alone: pin its sha256 in the manifest"
        return Downloaded(item.bytes, digest.hexdigest(), how)

    def _rest(self, item: Item, done: int, doing: str) -> Iterator[bytes]:
        """What comes after so many bytes. Raises urllib3's HTTPError where it breaks off."""
        headers = {"Range": f"bytes={done}-", "If-Range": item.etag or ""} if done else {}
        if done == item.bytes:
            return
        with self._answer("GET", item.place, doing, headers) as answer:
            length = answer.headers.get("Content-Length", "")
            if (
                _etag(answer) != item.etag
                or length not in ("", str(item.bytes - done))
                or (done and (item.etag is None or answer.status != 206))
            ):
                raise InputError(
                    "The file was changed while the job ran, or the server can't send a part of "
                    "it.",
                    where=str(item.place),
                    hint="Run the job again, or download the file and give its path.",
                )
            for chunk in answer.stream(CHUNK):
                done += len(chunk)
                yield chunk
        if done != item.bytes:
            raise HTTPError(f"{done:,} bytes came, not {item.bytes:,}")

    def _persist(self, ask: Callable[[], T], place: Place, doing: str, method: str) -> T:
        """Ask, and where the server fails or is not there, ask again."""

        def ask_once() -> T:
            try:
                return ask()
            except HTTPError as error:
                reason = _reason(error)
                if isinstance(reason, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(reason):
                    raise InputError(
                        f"{doing} failed: the server's certificate is not trusted.",
                        where=str(place),
                        hint="Set AWS_CA_BUNDLE, SSL_CERT_FILE or storage.ca_bundle to the PEM "
                        "file of its authority.",
                    ) from None
                if "407" in str(reason):
                    raise InputError(
                        f"{doing} failed: the proxy asks for a login.",
                        where=str(place),
                        hint="Give it in HTTPS_PROXY, as http://user:password@proxy:port, or name "
                        "the host in NO_PROXY.",
                    ) from None
                raise

        limit = retry.Limit(retry.attempts(self._stores.warn), retry.WEB_PAUSE_S)
        try:
            return retry.persist(ask_once, (HTTPError,), limit, lambda: self._stores.count(method))
        except HTTPError as error:
            raise StorageError(
                f"{doing} failed after all retries: {_reason(error)}.",
                where=str(place),
                hint="Check the address and the network, and run again.",
            ) from None

    @contextmanager
    def _answer(
        self, method: str, place: Place, doing: str, headers: dict[str, str] | None = None
    ) -> Iterator[Any]:
        """The server's answer, where it is one of success."""
        with _pool(self._config, place.host) as pool:
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


def _reason(error: HTTPError) -> object:
    return getattr(error, "reason", None) or error


def _pool(config: StorageConfig, host: str) -> Any:
    """What sends requests to a host, by a proxy where the environment names one for it."""
    trusted = config.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
    try:
        context = ssl.create_default_context(cafile=trusted)
    except OSError as error:
        doing = "Reading the certificates"
        raise from_os_error(error, doing, writing=False, place=trusted) from None
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return urllib3.PoolManager(ssl_context=context)
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    given = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=unquote(given)) if given else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context)


def _etag(answer: Any) -> str | None:
    """A strong ETag; a weak one does not promise the same bytes."""
    etag: str | None = answer.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else etag
