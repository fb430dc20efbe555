"""Talking to the supervisor: one JSON line asked and one answered on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local.errors import StackError
from deploy.local.home import Home, find_state, take_lock
from deploy.local.process import is_alive, reap, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.home import State

LONGEST: Final = 100
"""Bytes of a socket's path; Linux allows 107 (unix(7))."""

STOP_WITHIN: Final = 60.0
"""Seconds that `down` gives the supervisor before it ends it."""


def socket_place(home: Home) -> Path:
    """Return where the socket goes: in the state folder, or a private short one if too long."""
    place = home.path / "run" / "supervisor.sock"
    if len(os.fsencode(place)) <= LONGEST:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.unlink(missing_ok=True)
        return place
    return Path(tempfile.mkdtemp(prefix="pashe-")) / "s"


def remove_socket(home: Home, path: str) -> None:
    """Remove the socket, and its folder if it was made for it."""
    place = Path(path)
    place.unlink(missing_ok=True)
    if place.parent != home.path / "run":
        with contextlib.suppress(OSError):  # not ours, or gone: nothing to remove
            place.parent.rmdir()


async def serve(
    path: str, answer: Callable[[str], Awaitable[dict[str, Any]]]
) -> asyncio.AbstractServer:
    """Answer one request a connection; `answer` gets the word of `{"do": word}`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = json.loads(await reader.readline())
            reply = await answer(str(request.get("do")))
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, AttributeError, TimeoutError):
            return  # whoever asked is gone, or asked nonsense: nobody to tell
        finally:
            writer.close()

    return await asyncio.start_unix_server(handle, path)


def ask(state: State, word: str, within: float = 10.0) -> dict[str, Any] | None:
    """Ask the supervisor; None if nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(within)
            client.connect(state.socket)
            client.sendall(json.dumps({"do": word}).encode() + b"\n")
            with client.makefile("rb") as lines:
                reply: dict[str, Any] = json.loads(lines.readline())
                return reply
    except (OSError, ValueError):
        return None


def find_status(home: Home) -> dict[str, Any] | None:
    """Return what `status --json` prints of a running stack; None if none runs."""
    state = find_state(home)
    return ask(state, "status") if state else None


def find_parts(home: Home) -> dict[str, Any] | None:
    """Return the same without lag, unsent and parked, which take most of its time."""
    state = find_state(home)
    return ask(state, "parts") if state else None


def find_origin(home: Home) -> str:
    """Return the origin of the stack that is up.

    Raises:
        StackError: none is.

    """
    state = find_state(home)
    if state is None or ask(state, "phase") is None:
        message = "the stack is not up: start it with `pashe up`"
        raise StackError(message)
    return state.origin


def reap_leftovers(home: Home) -> list[str]:
    """End what a killed supervisor left, by pid and start time; return the names. Holds the lock.

    They were sent their parent-death signal already; each gets 3 s before it is killed.
    """
    state = find_state(home)
    if state is None:
        return []
    postgres = state.parts.pop("postgres", None)
    left = [n for n, mark in state.parts.items() if reap(mark, signal.SIGKILL, 3.0)]
    if postgres is not None and reap(postgres, signal.SIGINT, 10.0):
        left.append("postgres")
    remove_socket(home, state.socket)
    home.state.unlink(missing_ok=True)
    return left


def stop_stack(home: Home) -> bool:
    """End the stack of this folder, whatever state it is in; False if nothing ran.

    Raises:
        StackError: it cannot be ended.

    """
    if not home.path.is_dir():
        return False
    state = find_state(home)
    if state is not None and is_alive(state.supervisor):
        if ask(state, "stop", 5.0) is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(state.supervisor.pid, signal.SIGTERM)
        if not wait_until_gone(state.supervisor, STOP_WITHIN):
            reap(state.supervisor, signal.SIGKILL, 5.0)
        ran = True
    else:
        ran = False
    end = time.monotonic() + 10
    while (handle := take_lock(home)) is None:
        if time.monotonic() > end:
            message = f"something else holds {home.lock}: is a `pashe up` just starting?"
            raise StackError(message)
        time.sleep(0.1)
    try:
        return bool(reap_leftovers(home)) or ran
    finally:
        os.close(handle)
