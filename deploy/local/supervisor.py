"""The supervisor: the process that keeps a stack, answers `status` about it, and ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from deploy.local import control, figures
from deploy.local.errors import StackError
from deploy.local.home import erase_home, find_home, make_home, take_lock
from deploy.local.stack import Stack
from deploy.local.telling import Teller, log_event

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Supervisor:
    """Keeps one stack from its start until it is told to end."""

    stack: Stack
    phase: str = "starting"
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        """Run the stack until it is told to end; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        bound = asyncio.create_task(self._end_with_another())
        starting = asyncio.create_task(self._start())
        ended = asyncio.create_task(self.ended.wait())
        code = 0
        try:
            await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await ended
            else:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
        except BaseExceptionGroup as group:
            code = self._failed(_first(group))
        except Exception as error:  # noqa: BLE001  (whatever it is, nothing stays running)
            code = self._failed(error)
        finally:
            bound.cancel()
            self.phase = "stopping"
            await self.stack.stop()
            log_event("ended", {})
        return code

    async def _end_with_another(self) -> None:
        """End when the process that `PASHE_ENDS_WITH` names is gone, as a test that was killed."""
        if not (pid := os.environ.get("PASHE_ENDS_WITH", "")).isdigit():
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            other = psutil.Process(int(pid))
            while other.is_running():  # noqa: ASYNC110  (nothing tells of the end of a stranger)
                await asyncio.sleep(1)
        self.ended.set()

    def _failed(self, error: BaseException) -> int:
        tail: Sequence[str] = ()
        if isinstance(error, StackError):
            text, tail = str(error), error.tail
        elif isinstance(error, OSError) and error.strerror:
            text = f"{error.strerror}: {error.filename or self.stack.home.path}"
        else:
            text = f"{type(error).__name__}: {error}"
        log_event("start-failed", {"why": text})
        self.stack.teller.tell("failed", text=text, tail=list(tail))
        return 1

    async def _start(self) -> None:
        state, listener = self.stack.prepare()
        await control.serve(state.socket, self._answer)
        await self.stack.start(state, listener)
        self.phase = "up"
        log_event("up", {"origin": state.origin})
        self.stack.teller.tell("ready", origin=state.origin)
        self.stack.teller.close()

    async def _answer(self, word: str) -> dict[str, Any]:
        if word == "stop":
            self.ended.set()
            return {"phase": "stopping"}
        if word == "parts":
            return await self.parts()
        if word == "status":
            return await self.status()
        return {"phase": self.phase}

    async def parts(self) -> dict[str, Any]:
        """Return what runs where; a probe of each part, and no more."""
        return {
            "origin": self.stack.state.origin if self.stack.state else None,
            "phase": self.phase,
            "supervisor": os.getpid(),
            "parts": await asyncio.gather(*(part.status() for part in self.stack.parts)),
        }

    async def status(self) -> dict[str, Any]:
        """Return what `status --json` prints; takes little more than a second at most."""
        kafka = self.stack.kafka if self.phase == "up" else None
        found, lag, outbox, parked = await asyncio.gather(
            self.parts(),
            figures.find_lag(kafka.admin if kafka else None),
            figures.find_outbox(self.stack.admin_url),
            figures.find_parked(self.stack.admin_url),
        )
        return {**found, "lag": lag, "outbox": outbox, "parked": parked}


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first real error of a group; a StackError before any other."""
    flat = [_first(e) if isinstance(e, BaseExceptionGroup) else e for e in group.exceptions]
    return next((error for error in flat if isinstance(error, StackError)), flat[0])


def origin_port() -> int:
    """Return the origin's port: PASHE_PORT, or 8000.

    Raises:
        StackError: it is not a port.

    """
    word = os.environ.get("PASHE_PORT") or "8000"
    if not word.isdigit() or not 0 < int(word) <= 65535:  # noqa: PLR2004  (16 bits)
        message = f"PASHE_PORT is not a port: {word}"
        raise StackError(message)
    return int(word)


def main() -> None:
    """Run one stack; the command line starts this as a process of its own."""
    parser = argparse.ArgumentParser(prog="pashe-supervisor")
    parser.add_argument("--tell", type=int)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--brokers", type=int, default=0)
    parser.add_argument("--profile")
    given = parser.parse_args()
    teller = Teller(given.tell)
    home = find_home()
    code = 1
    try:
        make_home(home)
        lock = take_lock(home)
        if lock is None:
            teller.tell("already")
            code = 0
        else:
            os.umask(0o077)
            left = control.reap_leftovers(home)
            if left:
                log_event("reaped", {"parts": left})
                teller.tell("note", text=f"ended what an earlier run left: {', '.join(left)}")
            if given.fresh:
                erase_home(home)
            stack = Stack(home, teller, given.brokers, given.profile, origin_port())
            code = asyncio.run(Supervisor(stack).run())
    except StackError as error:
        teller.tell("failed", text=str(error), tail=list(error.tail))
    except OSError as error:
        teller.tell("failed", text=f"{error.strerror}: {error.filename}", tail=[])
    teller.close()
    sys.stderr.flush()
    os._exit(code)  # a download that hangs in a thread must not hold the end


if __name__ == "__main__":
    main()
