"""Processes of a bench: started, awaited, measured, and ended in every case."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.process import spawn, stop_process, tail_of
from tests.bench.wire import WireError, ask, request
from tests.support.wait import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

START_WITHIN = 60.0
STOP_WITHIN = 15.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A PostgreSQL and a Kafka; `postgres` is the server's process, where it is one of ours."""

    admin: str
    kafka: str
    postgres: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A running HTTP server."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid


@asynccontextmanager
async def serving(
    module: str, port: int, env: Mapping[str, str], log: Path, path: str = "/live"
) -> AsyncIterator[Server]:
    """Run `python -m module` until the block ends; it begins when `path` answers 200.

    Raises:
        AssertionError: it did not start; with the end of its log.

    """
    own = {**os.environ, **env, "HTTP_PORT": str(port), "HTTP_HOST": "127.0.0.1"}
    process = spawn([sys.executable, "-m", module], log, env=own, cwd=os.getcwd())  # noqa: PTH109
    server = Server(f"http://127.0.0.1:{port}", process)
    try:

        async def answers() -> bool:
            if process.poll() is not None:
                message = f"{module} ended: {tail_of(log)}"
                raise RuntimeError(message)
            with contextlib.suppress(OSError, WireError, TimeoutError):
                return (await ask(server.url, request("GET", path, {}), 5)).status == 200
            return False

        await eventually(answers, START_WITHIN, f"{module} answering")
        yield server
    finally:
        await asyncio.shield(stop_process(process, signal.SIGTERM, STOP_WITHIN))
