"""URIs -> places. Relative ones are relative to whoever names them."""

from __future__ import annotations

import re
from pathlib import Path

from job.errors import ManifestError

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")


def local_path(uri: str, base: Path) -> Path:
    """The path that a local URI names.

    Args:
        uri: A path, relative or absolute, or ``file:///absolute/path``.
        base: The folder that a relative path is relative to.

    Raises:
        ManifestError: For a scheme that is not known here.
    """
    if not is_uri(uri):
        try:
            path = base / Path(uri).expanduser()
        except RuntimeError as error:
            raise ManifestError(f"{error}", where=uri, hint="Give the whole path.") from None
    else:
        path = _file_path(uri)
    if "\0" in str(path):
        raise ManifestError("A URI can't hold a NUL character.", where=repr(uri))
    return path


def is_uri(text: str) -> bool:
    """Whether it begins with a scheme: ``s3://...``, ``file:...``; ``12:30/out`` is a path."""
    return _SCHEME.match(text) is not None


def _file_path(uri: str) -> Path:
    from urllib.parse import unquote, urlsplit  # rarely needed, and slow to import

    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ManifestError(
            f"This is no URI: {error}.", where=uri, hint="Use a path or a file:// URI."
        ) from None
    if parts.scheme != "file":
        raise ManifestError(
            f"URIs of the scheme {parts.scheme}:// can't be read by this version.",
            where=uri,
            hint="Use a path or a file:// URI.",
        )
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        place = f"{parts.netloc}{parts.path}".lstrip("/")
        raise ManifestError(
            "A file:// URI names a file on this machine by its whole path: it has three slashes.",
            where=uri,
            hint=f"file:///{place}",
        )
    return Path(unquote(parts.path))
