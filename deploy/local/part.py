"""A part of the stack: one process that is started, probed, restarted and stopped."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deploy.local.errors import StackError
from deploy.local.process import (
    Mark,
    User,
    describe_exit,
    mark_of,
    size_of,
    spawn,
    stop_process,
    tail_of,
    wait_for_end,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

PROBE: Final = 1.0
"""Seconds that a probe may take; then its answer is None."""

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Seconds before a restart: doubled from restart to restart, up to this."""

HEALTHY_AFTER: Final = 5.0
"""Seconds of life after which the next restart is quick again."""


@dataclass(slots=True)
class Part:
    """How one process is run, and the process while it runs."""

    name: str
    layer: int
    command: Callable[[], Sequence[str]]
    log: Path
    port: int
    probe: Callable[[], Awaitable[bool | None]]
    env: Mapping[str, str] | None = None
    user: User | None = None
    cwd: str | Path = "/"
    pass_fds: tuple[int, ...] = ()
    before: Callable[[], None] | None = None
    polite: signal.Signals = signal.SIGTERM
    death: signal.Signals = signal.SIGKILL
    start_within: float = 120.0
    stop_within: float = 20.0
    process: subprocess.Popen[bytes] | None = None
    mark: Mark | None = None
    restarts: int = 0
    _offset: int = field(default=0, init=False)

    def spawn(self) -> None:
        """Start the process, without waiting for it to be ready.

        Raises:
            StackError: it cannot be started.

        """
        if self.before is not None:
            self.before()
        self._offset = size_of(self.log)
        self.process = spawn(
            self.command(),
            self.log,
            env=self.env,
            user=self.user,
            death=self.death,
            pass_fds=self.pass_fds,
            cwd=self.cwd,
        )
        self.mark = mark_of(self.process.pid)

    async def wait_until_ready(self) -> None:
        """Wait until the probe says yes.

        Raises:
            StackError: the process ended, or was not ready in time (with the end of its log), or
                never will be.

        """
        end = time.monotonic() + self.start_within
        while not await self.ask():
            code = self.process.poll() if self.process else None
            if code is not None:
                message = f"{self.name} did not start ({describe_exit(code)}); its log: {self.log}"
                raise StackError(message, self.tail())
            if time.monotonic() > end:
                within = f"{self.start_within:.0f} s"
                message = f"{self.name} was not ready within {within}; its log: {self.log}"
                raise StackError(message, self.tail())
            await asyncio.sleep(0.05)

    async def ask(self) -> bool | None:
        """Return what the probe says; None when it says nothing in time, False without process.

        Raises:
            StackError: the probe knows that it will never say yes.

        """
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            async with asyncio.timeout(PROBE):
                return await self.probe()
        except TimeoutError:
            return None

    async def keep(self, changed: Callable[[str, dict[str, Any]], None]) -> None:
        """Start it again whenever it ends, until cancelled; `changed` is told of each time."""
        pause = FIRST_PAUSE
        born = time.monotonic()
        while True:
            if self.process is not None:
                await wait_for_end(self.process)
                code = self.process.returncode
                if time.monotonic() - born >= HEALTHY_AFTER:
                    pause = FIRST_PAUSE
                changed("ended", {"part": self.name, "how": describe_exit(code), "pause": pause})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            born = time.monotonic()
            try:
                self.spawn()
            except StackError as error:
                changed("restart-failed", {"part": self.name, "why": str(error)})
                continue
            self.restarts += 1
            changed("restarted", {"part": self.name, "pid": self.process and self.process.pid})

    async def stop(self) -> None:
        """End it, politely first."""
        if self.process is not None:
            await stop_process(self.process, self.polite, self.stop_within)

    def tail(self) -> list[str]:
        """Return the end of what the current process wrote."""
        return tail_of(self.log, self._offset)

    async def status(self) -> dict[str, Any]:
        """Return name, pid (None without a process), port and whether it is ready."""
        alive = self.process is not None and self.process.poll() is None
        return {
            "name": self.name,
            "pid": self.process.pid if self.process and alive else None,
            "port": self.port,
            "ready": await self._ask_calmly(),
            "restarts": self.restarts,
        }

    async def _ask_calmly(self) -> bool | None:
        try:
            return await self.ask()
        except StackError:  # of one who waits for a start; here it is only not known
            return None


def http_probe(host: str, port: int, path: str) -> Callable[[], Awaitable[bool | None]]:
    """Make a probe that asks over HTTP: True for 200, False for another answer or a refusal."""

    async def probe() -> bool | None:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode("ascii"))
            line = await reader.readline()
            return line.split()[1:2] == [b"200"]
        except OSError:
            return False
        finally:
            writer.close()

    return probe
