"""Starting a stack from the command line: in front of the user, or detached."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from deploy.local import control
from deploy.local.errors import StackError
from deploy.local.home import ROOT, find_state, make_home, take_lock
from deploy.local.process import describe_exit, size_of, spawn, tail_of
from deploy.local.progress import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rich.console import Console

    from deploy.local.home import Home

ANOTHER_WITHIN: Final = 120.0
"""Seconds that a second `up` waits for the first to be ready."""


class Interrupted(Exception):  # noqa: N818  (the user's wish, not an error)
    """The user, or the system, asked this command to end."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` inside the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_supervisor(
    home: Home, console: Console, options: Sequence[str], *, detach: bool
) -> tuple[subprocess.Popen[bytes] | None, str]:
    """Start the supervisor and show how it goes until the stack is up.

    Args:
        home: the state folder.
        console: where progress is shown.
        options: words for the supervisor's command line.
        detach: whether it outlives this process.

    Returns:
        The process (None when another one runs already) and the origin.

    Raises:
        StackError: it did not start; nothing is left running.
        Interrupted: asked to end while it started; nothing is left running.

    """
    make_home(home)
    log = home.log("supervisor")
    offset = size_of(log)
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "deploy.local.supervisor", "--tell", str(writer), *options]
    env = {**os.environ, "PASHE_HOME": str(home.path), "PYTHONUNBUFFERED": "1"}
    if detach:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                cwd=ROOT,
                pass_fds=(writer,),
                start_new_session=True,
            )
    else:
        process = spawn(argv, log, env=env, death=signal.SIGTERM, pass_fds=(writer,), cwd=ROOT)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as lines, Screen(console) as screen:
            outcome = _follow(lines, screen)
    except Interrupted:
        stop_supervisor(process)
        raise
    if outcome is None:
        code = process.wait()
        message = f"the supervisor ended unexpectedly ({describe_exit(code)}); its log: {log}"
        raise StackError(message, tail_of(log, offset))
    if outcome["event"] == "already":
        process.wait()
        return None, _wait_for_other(home, options)
    if outcome["event"] == "failed":
        process.wait()
        raise StackError(outcome["text"], outcome["tail"])
    return process, str(outcome["origin"])


def _follow(lines: Any, screen: Screen) -> dict[str, Any] | None:  # noqa: ANN401  (a pipe)
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if event["event"] in {"ready", "failed", "already"}:
            return event
        screen.handle(event)
    return None


def _wait_for_other(home: Home, options: Sequence[str]) -> str:
    if "--fresh" in options:
        message = "the stack is up: end it first (pashe down), then start it afresh"
        raise StackError(message)
    end = time.monotonic() + ANOTHER_WITHIN
    while time.monotonic() < end:
        state = find_state(home)
        if state is not None and control.ask(state, "phase") == {"phase": "up"}:
            return state.origin
        if (handle := take_lock(home)) is not None:
            os.close(handle)
            message = "another `pashe up` ended before its stack was ready: try again"
            raise StackError(message)
        time.sleep(0.2)
    message = f"another `pashe up` holds {home.path}, but its stack is not ready"
    raise StackError(message)


def stop_supervisor(process: subprocess.Popen[bytes]) -> None:
    """End a supervisor that this process started, and wait until everything has ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)
