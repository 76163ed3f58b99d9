"""What a run was given."""

from __future__ import annotations

from job.result.record import Record


class InputResult(Record):
    """An input as it was found: a file, or several, whose bytes are added up."""

    uri: str
    bytes: int
    sha256: str
    """The file's. Of several, that of the lines ``<sha256>  <relative name>``, sorted by name, as
    ``sha256sum`` prints them; names are relative to the folder, or to a pattern's fixed part."""
    mark: str | None = None
    """Of objects in a store: a digest of their URIs, sizes and ETags, which another run compares
    before it downloads them."""
    verified: str = ""
    """How it is known that what was downloaded is what is there."""
