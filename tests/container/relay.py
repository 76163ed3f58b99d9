"""Hand connections on: from a unix socket to a port of 127.0.0.1, or the other way.

A unix socket is a file: it is reached from every network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

CHUNK = 1 << 16


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


async def main(listen: str, path: str, port: int) -> None:
    """Listen on one of the two, for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if listen == "unix":
                onward = await asyncio.open_connection("127.0.0.1", port)
            else:
                onward = await asyncio.open_unix_connection(path)
            await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))
            onward[1].close()
        finally:
            writer.close()

    if listen == "unix":
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
