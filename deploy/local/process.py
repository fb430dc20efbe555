"""Processes: started so that they end with us, known by pid and start time, ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL: Final = 0.05
"""Seconds between looks at a process; its end is noticed at most this late."""

TAIL: Final = 15
"""Lines of a log that are shown when it explains a failure."""

LOG_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a log above which a start moves it to `.1`."""

_LAUNCH: Final = Path(__file__).with_name("launch.py")
_PROC: Final = Path("/proc")
_BOOT: Final = _PROC / "sys/kernel/random/boot_id"


class Mark(msgspec.Struct, frozen=True):
    """A process that cannot be mistaken for another: pid, start (clock ticks since boot), boot."""

    pid: int
    started: int
    boot: str


class User(msgspec.Struct, frozen=True):
    """Who a child runs as."""

    uid: int
    gid: int


def mark_of(pid: int) -> Mark | None:
    """Return the mark of a live process; None if there is none (a zombie is none)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if fields[0] in {"Z", "X"}:
        return None
    return Mark(pid, int(fields[19]), _BOOT.read_text("ascii").strip())


def is_alive(mark: Mark) -> bool:
    """Say whether exactly this process still runs."""
    return mark_of(mark.pid) == mark


def spawn(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    death: signal.Signals = signal.SIGKILL,
    pass_fds: Sequence[int] = (),
    cwd: str | Path = "/",
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; it gets `death` when the calling thread ends.

    Call it from the main thread only: the kernel watches the thread, not the process. Output is
    appended to `log` (made 0600).

    Raises:
        StackError: the program or its log cannot be opened.

    """
    uid, gid = (user.uid, user.gid) if user else (-1, -1)
    words = [str(os.getpid()), str(int(death)), str(uid), str(gid), *argv]
    try:
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_name(log.name + ".1"))
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCH), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if env is None else dict(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
    except OSError as error:
        message = f"cannot start {Path(argv[0]).name}: {error.strerror or error}"
        raise StackError(message) from error


async def wait_for_end(process: subprocess.Popen[bytes], within: float | None = None) -> bool:
    """Wait until the process ends; False if `within` seconds passed first."""
    clock = time.monotonic
    end = None if within is None else clock() + within
    while process.poll() is None:
        if end is not None and clock() >= end:
            return False
        await asyncio.sleep(POLL)
    return True


async def run_once(
    what: str,
    argv: Sequence[str],
    log: Path,
    *,
    within: float,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    cwd: str | Path = "/",
    pass_fds: Sequence[int] = (),
) -> None:
    """Run a program to its end.

    Raises:
        StackError: it failed or took more than `within` seconds; with the end of its output.

    """
    start = size_of(log)
    process = spawn(argv, log, env=env, user=user, cwd=cwd, pass_fds=pass_fds)
    try:
        if not await wait_for_end(process, within):
            message = f"{what} took longer than {within:.0f} s"
            raise StackError(message, tail_of(log, start))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        message = f"{what} failed ({describe_exit(process.returncode)})"
        raise StackError(message, tail_of(log, start))


async def stop_process(
    process: subprocess.Popen[bytes], polite: signal.Signals, within: float
) -> None:
    """Ask a process to end, and end it after `within` seconds."""
    if process.poll() is None:
        process.send_signal(polite)
        if not await wait_for_end(process, within):
            process.kill()
            await wait_for_end(process)


def reap(mark: Mark, polite: signal.Signals, within: float) -> bool:
    """End a process that an earlier supervisor left; True if it was still there.

    It was sent its parent-death signal already, so it first gets `within` seconds.
    """
    if not is_alive(mark):
        return False
    _signal(mark, polite)
    if not _gone(mark, within):
        _signal(mark, signal.SIGKILL)
        _gone(mark, 10.0)
    return True


def _signal(mark: Mark, number: signal.Signals) -> None:
    if is_alive(mark):
        try:
            os.kill(mark.pid, number)
        except ProcessLookupError:
            return


def _gone(mark: Mark, within: float) -> bool:
    end = time.monotonic() + within
    while is_alive(mark):
        if time.monotonic() >= end:
            return False
        time.sleep(POLL)
    return True


def wait_until_gone(mark: Mark, within: float) -> bool:
    """Wait until a process that is not our child has ended; False after `within` seconds."""
    return _gone(mark, within)


def size_of(log: Path) -> int:
    """Return the bytes a log has now, 0 if there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def tail_of(log: Path, start: int = 0, lines: int = TAIL) -> list[str]:
    """Return the last lines of what was written to a log from byte `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, size_of(log) - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def describe_exit(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
