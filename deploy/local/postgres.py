"""A real PostgreSQL from a wheel, or from the machine; as root it runs as an unprivileged user.

That user may not be able to pass the folders above the data (0700, like /root), and opening them is
not ours to do. So as root the data folder is handed over as the working folder, which a process
keeps whatever lies above it, and is called `/proc/self/cwd` (proc(5)).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from deploy.local.errors import StackError
from deploy.local.keys import SUPERUSER
from deploy.local.postgres_place import find_binaries, major_of
from deploy.local.process import User, run_once, size_of, spawn, stop_process, tail_of

if TYPE_CHECKING:
    import subprocess

NOBODY: Final = User(65534, 65534)
"""Who PostgreSQL runs as when we are root; it refuses to run as root."""

_WORKING: Final = "/proc/self/cwd"

START_WITHIN: Final = 120.0
STOP_WITHIN: Final = 20.0
PROBE: Final = 1.0
"""Seconds."""

SETTINGS: Final = {
    "max_connections": "200",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A log never holds what a person said: no parameters, statements or details of rows.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    # An error goes to its client, who says its SQLSTATE; its text quotes the value that was wrong.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
"""What differs from PostgreSQL's defaults; fsync and synchronous_commit stay on."""


BUFFERS: Final = (128, 1024)
"""Megabytes of `shared_buffers`, at least and at most."""


def buffers() -> str:
    """Return `shared_buffers`: an eighth of the machine's memory, within bounds.

    With a million cases a report touches 40 to 90 pages of indexes that 128 MB do not hold, and
    waits 2 to 8 ms for them. Memory is taken as pages come into use, not before.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    least, most = BUFFERS
    return f"{min(most, max(least, machine // 8))}MB"


@dataclass(slots=True)
class EmbeddedPostgres:
    """One PostgreSQL in one folder, on TCP loopback only, its superuser with a password."""

    data: Path
    port: int
    password: str
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def user(self) -> User | None:
        """Who it runs as; None is who we are."""
        return NOBODY if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's address of a database."""
        return f"postgresql://{SUPERUSER}:{self.password}@{self.host}:{self.port}/{database}"

    def command(self) -> list[str]:
        """Return the command line that runs it in the foreground."""
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": buffers(),
            **SETTINGS,
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(find_binaries() / "postgres"), "-D", self._folder(self.data), *words]

    def _folder(self, data: Path) -> str:
        return _WORKING if self.user else str(data)

    async def prepare(self, log: Path) -> None:
        """Make the database cluster when there is none, and clear what a kill left behind.

        Raises:
            StackError: initdb failed, with the end of its output; or the data is of another
                version.

        """
        binaries = find_binaries()
        if not self.data.exists():
            await self._init(binaries, log)
            return
        version = (self.data / "PG_VERSION").read_text().strip()
        ours = major_of(binaries)
        if ours and version != ours:
            message = f"the database is of PostgreSQL {version}, the programs are of {ours}"
            raise StackError(message)
        self.clear_stale_pid()

    async def _init(self, binaries: Path, log: Path) -> None:
        draft = self.data.with_name(f"{self.data.name}.new")  # whole or not at all
        secret = self.data.with_name(f".{self.data.name}.password")
        shutil.rmtree(draft, ignore_errors=True)
        secret.unlink(missing_ok=True)
        draft.mkdir(mode=0o700)
        handle = os.open(secret, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, self.password.encode())
            if self.user:
                for path in (draft, secret):
                    os.chown(path, self.user.uid, self.user.gid)
            argv = [
                str(binaries / "initdb"),
                f"--pgdata={self._folder(draft)}",
                f"--username={SUPERUSER}",
                f"--pwfile=/proc/self/fd/{handle}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--data-checksums",
            ]
            what = "making the database (initdb)"
            await run_once(
                what, argv, log, within=120, user=self.user, cwd=draft, pass_fds=(handle,)
            )
            draft.rename(self.data)
        finally:
            os.close(handle)
            secret.unlink()
            shutil.rmtree(draft, ignore_errors=True)

    def clear_stale_pid(self) -> None:
        """Before a start: remove the pid file of a server that is gone; others reuse its pid."""
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        try:
            runs = Path(f"/proc/{pid}/exe").resolve().name == "postgres"
        except OSError:
            runs = False
        if not runs:
            path.unlink()

    async def probe(self) -> bool | None:
        """Say whether it answers; False when it refuses, None when nothing was said in 1 s."""
        try:
            async with asyncio.timeout(PROBE):
                conn = await asyncpg.connect(self.url(), timeout=PROBE)
                try:
                    await conn.execute("SELECT 1")
                finally:
                    conn.terminate()
        except TimeoutError:
            return None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    # A server that no supervisor keeps: tests use it alone.

    async def start(self, log: Path) -> None:
        """Start it and wait until it answers.

        Raises:
            StackError: it ended, or did not answer in time; with the end of its log.

        """
        offset = size_of(log)
        self.process = spawn(
            self.command(), log, user=self.user, death=signal.SIGINT, cwd=self.data
        )
        end = time.monotonic() + START_WITHIN
        while not await self.probe():
            if self.process.poll() is not None or time.monotonic() > end:
                await self.stop()
                message = "PostgreSQL did not start"
                raise StackError(message, tail_of(log, offset))
            await asyncio.sleep(0.05)

    async def stop(self, *, kill: bool = False) -> None:
        """End it, its clients' transactions rolled back; `kill` like a crash."""
        if self.process is not None:
            polite = signal.SIGQUIT if kill else signal.SIGINT
            await stop_process(self.process, polite, STOP_WITHIN)
            self.process = None
