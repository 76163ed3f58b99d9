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
    if "\0" in uri:
        raise ManifestError("A URI can't hold a NUL character.", where=repr(uri))
    if not _SCHEME.match(uri):
        try:
            return base / Path(uri).expanduser()
        except RuntimeError as error:
            raise ManifestError(f"{error}", where=uri, hint="Give the whole path.") from None
    from urllib.parse import unquote, urlsplit  # rarely needed, and slow to import

    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ManifestError(
            f"URIs of the scheme {parts.scheme}:// can't be read by this version.",
            where=uri,
            hint="Use a path or a file:// URI.",
        )
    if parts.netloc not in ("", "localhost"):
        raise ManifestError(
            "A file:// URI names a file on this machine, so it has three slashes.",
            where=uri,
            hint=f"file:///{parts.netloc}{parts.path}",
        )
    return Path(unquote(parts.path))
