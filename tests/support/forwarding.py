"""A request's way through the proxy, and what goes wrong on it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.support.faults import Call, Fault, Faults, blocks

if TYPE_CHECKING:
    from tests.support.faults import Server

# Between two machines only, not between their users.
HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "proxy-connection"}
# So that what was sent before a reset is read before it: a reset overtakes what is unread.
SETTLE = 0.1
TIMEOUT = 120


class Forwarder(BaseHTTPRequestHandler):
    """A client's connection; its requests go to the store one by one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_expect_100(self) -> bool:
        """Whether the body may come is not told before the fault is known."""
        self.expects = True
        return True

    def parse_request(self) -> bool:
        self.expects = False
        return super().parse_request()

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""

    def _handle(self) -> None:
        path, _, query = self.path.partition("?")
        call = Call(self.command, path, query, tuple(self.headers))
        faults: Faults = self.server.faults
        fault = faults.fault(call)
        faults.closing.wait(fault.delay)
        if fault.reset == "before" or (fault.hook and fault.hook(call) is False):
            self._reset()
        elif fault.status is not None:
            self._refuse(call, fault, fault.status)
        else:
            connection = HTTPConnection(*faults.store, timeout=TIMEOUT)
            try:
                self._forward(connection, call, fault)
            except (OSError, HTTPException, ValueError):
                self._reset()
            finally:
                connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _refuse(self, call: Call, fault: Fault, status: int) -> None:
        """Answer in the store's stead."""
        if self.expects:
            # The client sends no body after an answer that isn't "100 Continue".
            self.close_connection = True
        else:
            # An answer before the end of the body might be lost with a reset.
            for _ in self._body():
                pass
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(fault.code)}</Code><Message>A fault of the tests.</Message>"
            "<RequestId>0123456789ABCDEF</RequestId></Error>"
        ).encode()
        self.send_response(status)
        for name, value in fault.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        call.status = status
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _forward(self, connection: HTTPConnection, call: Call, fault: Fault) -> None:
        if not self._send(connection, fault):
            self._reset()
            return
        response = connection.getresponse()
        call.stored = response.status
        if fault.reset == "after" or (fault.afterwards and fault.afterwards(call) is False):
            response.read()
            self._reset()
        else:
            call.status = response.status
            self._answer(response, fault)

    def _send(self, connection: HTTPConnection, fault: Fault) -> bool:
        """The request, as it comes; False if it is broken off on the way."""
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name, value)
        chunked = self._is_chunked()
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        if self.expects:
            self.send_response_only(100)
            self.end_headers()
        length = int(self.headers.get("Content-Length", 0))
        sent = 0
        broken = False
        for block in self._body():
            if fault.reset == "request" and (chunked or sent + len(block) > length // 2):
                return False
            sent += len(block)
            # The store may have answered and closed already: the rest is read for nothing.
            with contextlib.suppress(ConnectionError):
                if not broken:
                    broken = True
                    connection.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
                    broken = False
        if chunked and not broken:
            connection.send(b"0\r\n\r\n")
        # A client that went away has not asked for anything.
        return chunked or (sent == length and fault.reset != "request")

    def _answer(self, response: HTTPResponse, fault: Fault) -> None:
        """The response, as it comes."""
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        bare = self.command == "HEAD" or response.status in (204, 304)
        chunked = response.length is None and not bare
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not bare:
            self._stream(response, fault, chunked=chunked)

    def _stream(self, response: HTTPResponse, fault: Fault, *, chunked: bool) -> None:
        middle = (response.length or 2) // 2
        sent = 0
        while block := response.read(1 << 16):
            if sent <= middle < sent + len(block):
                if fault.truncate or fault.reset == "response":
                    self._break_off(b"" if chunked else block[: middle - sent], fault)
                    return
                if fault.flip:
                    block = flipped(block, middle - sent)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            sent += len(block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif response.length:
            self._reset()  # The store itself broke off.

    def _break_off(self, last: bytes, fault: Fault) -> None:
        self.wfile.write(last)
        self.close_connection = True
        if fault.reset:
            time.sleep(SETTLE)
            self._reset()

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self) -> Iterator[bytes]:
        """The request's body, in blocks."""
        if not self._is_chunked():
            yield from blocks(self.rfile.read, int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _reset(self) -> None:
        """Reset the connection: the other end sees an error, not an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Closing the object would wait for its files, and end before it resets.
            os.close(self.connection.detach())


def flipped(block: bytes, position: int) -> bytes:
    """A block with one bit changed."""
    changed = bytearray(block)
    changed[position] ^= 1
    return bytes(changed)
