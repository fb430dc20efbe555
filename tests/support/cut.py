"""A TCP proxy that stands before one port and fails in the ways that networks and servers fail."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

_CHUNK = 65536
_COMMIT = b"COMMIT"


class Cut:
    """Passes bytes through until told otherwise; `port` stays the same for its whole life."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._to_swallow = 0
        self._mark = _COMMIT
        self.delay = 0.0
        """Seconds that each piece waits on its way, in either direction."""
        self.swallowed = 0
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self) -> None:
        """Listen (again) and let bytes flow."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections and cut those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut every connection now; new ones are taken."""
        for writer in self._writers:
            with contextlib.suppress(RuntimeError):
                writer.transport.abort()

    def hole(self) -> None:
        """Let nothing through in either direction, and tell nobody."""
        self._flows.clear()

    def swallow_commits(self, count: int, mark: bytes = _COMMIT) -> None:
        """Cut the connection in place of the answer to each of the next `count` COMMITs.

        The server has committed by then: the proxy waits for its answer and drops it. `mark` is
        what tells such a request, where it is not a COMMIT of its own.
        """
        self._to_swallow = count
        self._mark = mark

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        link = _Link()
        for pump in (self._up(reader, back, link), self._down(there, writer, link)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self) -> None:
        await self._flows.wait()
        if self.delay:
            await asyncio.sleep(self.delay)

    async def _up(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: _Link
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._pass()
                if self._to_swallow and self._mark in data:
                    self._to_swallow -= 1
                    link.doomed = True
                sink.write(data)
                await sink.drain()
        self._end(sink)

    async def _down(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: _Link
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._pass()
                if link.doomed:
                    self.swallowed += 1
                    break
                sink.write(data)
                await sink.drain()
        self._end(sink)

    def _end(self, sink: asyncio.StreamWriter) -> None:
        self._writers.discard(sink)
        with contextlib.suppress(RuntimeError):
            sink.transport.abort()


class _Link:
    """What both directions of one connection know."""

    doomed = False
