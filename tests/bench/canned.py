"""A server that does nothing but answer 200: against it a client shows what it could send at most.

`HTTP_PORT` says where it listens.
"""

from __future__ import annotations

import asyncio
import os
from typing import cast

import uvloop

_BODY = b'{"receipt":"0000 0000 0000 0000","status":"received"}' + b" " * 400
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(_BODY)).encode()
    + b"\r\n\r\n"
    + _BODY
)
_LENGTH = b"content-length: "


class Canned(asyncio.Protocol):
    """Counts whole requests by their Content-Length and answers each at once."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            place = self._buffer.find(_LENGTH, 0, end)
            length = 0
            if place >= 0:
                stop = self._buffer.find(b"\r\n", place)
                length = int(self._buffer[place + len(_LENGTH) : stop])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            assert self._transport is not None
            self._transport.write(_ANSWER)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", int(os.environ["HTTP_PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
