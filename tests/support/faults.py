"""A proxy before the store that goes wrong when it is told to.

It forwards what it gets, the Host header untouched, so that signatures stay valid. A fault is
for some of the requests: by method, by a pattern in the path and query, and by their count.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.support.certificates import Certificates

Where = Literal["before", "request", "response", "after"]


@dataclass
class Call:
    """A request that the proxy has seen."""

    method: str
    path: str
    query: str
    headers: tuple[str, ...]
    # The status the client was sent; None as long as, or because, there is none.
    status: int | None = None
    # The status the store answered with; None if it was not asked.
    stored: int | None = None

    @property
    def target(self) -> str:
        """The path and the query."""
        return f"{self.path}?{self.query}" if self.query else self.path


Hook = Callable[[Call], object]


@dataclass(frozen=True)
class Fault:
    """What goes wrong. The functions below make them."""

    # An answer that the store never gave.
    status: int | None = None
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    # The connection is reset: before anything, in the midst of a body, or after the store has
    # done as it was asked and before the answer leaves.
    reset: Where | None = None
    # The answer's body ends, or has a wrong bit, in its midst.
    truncate: bool = False
    flip: bool = False
    # Before the request is forwarded.
    delay: float = 0.0
    hook: Hook | None = None
    # Between the store's answer and the client's.
    afterwards: Hook | None = None


def status(number: int, code: str = "", **headers: str) -> Fault:
    """An S3 error; the headers' names with ``_`` for ``-``."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault(status=number, code=code, headers=named)


def reset(where: Literal["before", "request", "response"] = "before") -> Fault:
    """The connection is reset: at once, in mid-body of the request, or of the response."""
    return Fault(reset=where)


def lose_response() -> Fault:
    """The store does as it is asked, and the connection is reset before its answer is sent."""
    return Fault(reset="after")


def truncate() -> Fault:
    """Half of the response's body comes, and the connection is closed."""
    return Fault(truncate=True)


def flip() -> Fault:
    """One bit in the middle of the response's body is another."""
    return Fault(flip=True)


def delay(seconds: float) -> Fault:
    """The request waits before it is forwarded."""
    return Fault(delay=seconds)


def hook(call: Hook, *, after: bool = False) -> Fault:
    """Something is called before the request is forwarded, or after the store has answered.

    If it returns False, the connection is reset there.
    """
    return Fault(afterwards=call) if after else Fault(hook=call)


@dataclass
class _Rule:
    fault: Fault
    method: str | None
    match: Callable[[str], object]
    first: int | None
    nth: int | None
    hits: int = 0

    def applies(self, call: Call) -> bool:
        if self.method not in (None, call.method) or not self.match(call.target):
            return False
        self.hits += 1
        if self.nth is not None:
            return self.hits == self.nth
        return self.first is None or self.hits <= self.first


@dataclass
class Faults:
    """The proxy. As a context manager it runs within the context.

    With certificates it speaks https with its clients, and http with the store all the same.
    """

    upstream: str
    certificates: Certificates | None = None
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        from tests.support.forwarding import Forwarder

        self._server = Server(("127.0.0.1", 0), Forwarder)
        self._server.faults = self
        if self.certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates.certificate, self.certificates.key)
            # The handshake is the connection's own thread's.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        scheme = "https" if self.certificates else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def store(self) -> tuple[str, int]:
        """The store's host and port."""
        parts = urlsplit(self.upstream)
        return parts.hostname or "", parts.port or 80

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        match: str | Callable[[str], object] = "",
        first: int | None = None,
        nth: int | None = None,
    ) -> None:
        """Have a fault for the requests with a method whose path and query match.

        For all of them, for the ``first`` so many, or for the ``nth`` (from 1) alone. Of two
        faults for a request, the one that was added first is had.
        """
        matches = re.compile(match).search if isinstance(match, str) else match
        with self._lock:
            self._rules.append(_Rule(fault, method, matches, first, nth))

    def clear(self) -> None:
        """Forget the faults and the calls."""
        with self._lock:
            self._rules.clear()
            self.calls.clear()

    def fault(self, call: Call) -> Fault:
        """Note a call and find what goes wrong with it."""
        with self._lock:
            self.calls.append(call)
            applying = [rule for rule in self._rules if rule.applies(call)]
        return applying[0].fault if applying else Fault()

    def seen(self, method: str | None = None, match: str = "") -> list[Call]:
        """The calls with a method whose path and query match."""
        with self._lock:
            calls = list(self.calls)
        return [
            call
            for call in calls
            if method in (None, call.method) and re.search(match, call.target)
        ]


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    faults: Faults

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here: that is what this is for."""


def blocks(read: Callable[[int], bytes], length: int, size: int = 1 << 16) -> Iterator[bytes]:
    """So many bytes, in blocks; fewer where the other end goes away."""
    while length > 0 and (block := read(min(length, size))):
        length -= len(block)
        yield block
