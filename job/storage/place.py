"""URIs -> places, and patterns of names. Relative URIs are relative to whoever names them.

``s3://bucket/key`` is not decoded: a key may hold ``?``, ``#`` and ``%``.

The names that a pattern such as ``data/shard-*.npz`` matches may be of local files or of S3 keys. A
name's parts stand between slashes, and so do a pattern's. In a part, ``*`` is any number of
characters, ``?`` is one, ``[abc]``, ``[a-z]`` and ``[!abc]`` are one of some; none is a slash, and
a leading dot is a character as others are. The part ``**`` is any number of parts, none too; at
the end it is at least one. A ``[`` that is not closed in its part is itself.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from job.errors import ManifestError

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")
_HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$")
MAX_KEY_BYTES = 1024
_WILDCARD = re.compile(r"[*?]|\[!?+[^/][^/\]]*\]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: on this machine, in a bucket, or on a web server."""

    scheme: Literal["file", "s3", "https"]
    path: str
    """The whole path on this machine; the key; or the URL's path and query, from its slash on."""
    host: str = ""
    """The bucket, or the web server with its port."""

    def __str__(self) -> str:
        """As a user would write it."""
        match self.scheme:
            case "file":
                return self.path
            case "s3":
                return f"s3://{self.host}/{self.path}"
            case "https":
                return f"https://{self.host}{self.path}"

    @property
    def local(self) -> Path:
        """The path on this machine."""
        assert self.scheme == "file", self
        return Path(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def folder(self) -> Place:
        """What URIs relative to this file are relative to."""
        if self.scheme == "file":
            return replace(self, path=str(self.local.parent))
        return replace(self, path=self.path.partition("?")[0].rpartition("/")[0])

    @property
    def prefix(self) -> Place:
        """What the keys of all objects in this folder begin with; it ends with a slash."""
        return replace(self, path=f"{self.path.rstrip('/')}/" if self.path.strip("/") else "")

    def child(self, name: str) -> Place:
        """Something in this folder, by its name."""
        path = f"{self.path.rstrip('/')}/{name}"
        return replace(self, path=path.lstrip("/") if self.scheme == "s3" else path)


def here() -> Place:
    """The current folder."""
    return Place("file", str(Path.cwd()))


def find_place(uri: str, base: Place) -> Place:
    """The place that a URI names.

    Args:
        uri: A path, relative or absolute; ``file:///absolute/path``; ``s3://bucket/key``; or
            ``https://host/path``. An absolute path is always one on this machine.
        base: The folder that a relative path is relative to.

    Raises:
        ManifestError: For an unknown scheme, and for an invalid URI.
    """
    if "\0" in uri:
        raise ManifestError("A URI can't hold a NUL character.", where=repr(uri))
    if is_uri(uri):
        scheme = uri.partition(":")[0].lower()
        if scheme not in PARSERS:
            raise ManifestError(
                f"URIs of the scheme {scheme}:// can't be read.",
                where=uri,
                hint="Use a path, or a URI that begins with file://, s3:// or https://.",
            )
        return PARSERS[scheme](uri)
    if base.scheme != "file" and not uri.startswith(("/", "~")):
        return _beside(uri, base)
    try:
        return Place("file", str(Path(base.path) / Path(uri).expanduser()))
    except RuntimeError as error:
        raise ManifestError(f"{error}", where=uri, hint="Give the whole path.") from None


def is_uri(text: str) -> bool:
    """Whether it begins with a scheme: ``s3://...``, ``file:...``; ``12:30/out`` is a path."""
    return _SCHEME.match(text) is not None


def _beside(uri: str, base: Place) -> Place:
    """A relative path in a bucket or on a web server."""
    path = posixpath.normpath(posixpath.join(base.path.strip("/"), uri))
    if path == ".." or path.startswith("../"):
        raise ManifestError(f"This leads out of {base.scheme}://{base.host}/.", where=uri)
    ending = "/" if uri.endswith("/") else ""
    if base.scheme == "https":
        return replace(base, path=f"/{path}{ending}")
    return parse_s3(f"s3://{base.host}/{path}{ending}")


def parse_s3(uri: str) -> Place:
    """The bucket and the key, not decoded.

    Raises:
        ManifestError: Where the bucket's name is invalid, or the key is longer than S3 allows.
    """
    bucket, _, key = uri[len("s3:") :].removeprefix("//").partition("/")
    if not uri[len("s3:") :].startswith("//") or not _BUCKET.match(bucket):
        raise ManifestError(
            "This names no bucket.",
            where=uri,
            hint="Write s3://bucket/key: two slashes, and a name of 2 characters or more.",
        )
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ManifestError(f"A key has at most {MAX_KEY_BYTES} bytes.", where=uri)
    if any(part in (".", "..") for part in key.split("/")):
        raise ManifestError(
            "A key with . or .. between its slashes names different things to different programs.",
            where=uri,
            hint="Write the key without them.",
        )
    return Place("s3", key, bucket)


def is_pattern(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return _WILDCARD.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The folder, or prefix, that all names which match begin with; it ends with a slash.

    It is what has to be listed: ``data/`` of ``data/shard-*.npz``, ``""`` of ``*.npz``. Of a text
    without a wildcard it is what stands before its last part.
    """
    found = _WILDCARD.search(pattern)
    before = pattern[: found.start()] if found else pattern
    return before[: before.rfind("/") + 1]


def _parse_https(uri: str) -> Place:
    rest = uri[len("https:") :].removeprefix("//").partition("#")[0]
    host, slash, path = rest.partition("/")
    if not uri[len("https:") :].startswith("//") or not slash or not _HOST.match(host):
        raise ManifestError(
            "This is no address of a file on a web server.",
            where=uri,
            hint="Write https://host/path, without a user or a password.",
        )
    return Place("https", f"/{path}", host.lower())


def _parse_file(uri: str) -> Place:
    from urllib.parse import unquote, urlsplit  # rarely needed, and slow to import

    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ManifestError(
            f"This is no URI: {error}.", where=uri, hint="Use a path or a file:// URI."
        ) from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        place = f"{parts.netloc}{parts.path}".lstrip("/")
        raise ManifestError(
            "A file:// URI names a file on this machine by its whole path: it has three slashes.",
            where=uri,
            hint=f"file:///{place}",
        )
    path = str(Path(unquote(parts.path)))
    if "\0" in path:
        raise ManifestError("A URI can't hold a NUL character.", where=repr(uri))
    return Place("file", path)


PARSERS = {"file": _parse_file, "s3": parse_s3, "https": _parse_https}
