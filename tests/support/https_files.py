"""A web server for files, over https, that goes wrong when it is told to."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.certificates import Certificates
from tests.support.faults import Faults, blocks


class _Files(ThreadingHTTPServer):
    folder: Path
    etags: bool
    ranges: bool

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The proxy before it breaks connections: that is what it is for."""


class _File(BaseHTTPRequestHandler):
    """Gives out files, with an ETag that changes with them, and ranges of them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Files

    def _handle(self) -> None:
        folder = self.server.folder.resolve()
        path = (folder / unquote(self.path.partition("?")[0]).lstrip("/")).resolve()
        if folder not in path.parents or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = path.stat()
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        start, end = 0, found.st_size
        part = self._range(etag, found.st_size)
        if part is None:
            self.send_response(200)
        elif part[0] >= part[1]:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{found.st_size}")
            start = end = 0
        else:
            start, end = part
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{found.st_size}")
        if self.server.etags:
            self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes" if self.server.ranges else "none")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(start)
                for block in blocks(file.read, end - start):
                    self.wfile.write(block)

    do_GET = do_HEAD = _handle  # noqa: N815

    def _range(self, etag: str, size: int) -> tuple[int, int] | None:
        """The part asked for, from its start to its end; None for the whole."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked or not self.server.ranges or self.headers.get("If-Range", etag) != etag:
            return None
        first, last = asked.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1 if last else size)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@contextlib.contextmanager
def https_files(
    folder: Path, certificates: Certificates, *, etags: bool = True, ranges: bool = True
) -> Iterator[Faults]:
    """Serve a folder over https, at the ``url`` of what is yielded; faults are added to it.

    A redirect is a fault too: ``status(302, Location=...)``.
    """
    server = _Files(("127.0.0.1", 0), _File)
    server.folder, server.etags, server.ranges = folder, etags, ranges
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with Faults(f"http://127.0.0.1:{server.server_address[1]}", certificates) as front:
            yield front
    finally:
        server.shutdown()
        server.server_close()
