"""Death at a chosen point: every place where code waits is one, numbered as it is reached.

`dying` lets a coroutine die at one of them inside this process, by a cancel. `life` lives in a fork
that ends itself by SIGKILL at one, counted over all tasks whose code is in some files.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


@dataclass(slots=True)
class dying:  # noqa: N801  (it reads as what is awaited)
    """Runs a coroutine that dies where it waits for the `at`-th time; awaiting it gives the steps.

    `waits` says whether what it waited for still happens. With an `at` that it never reaches it
    lives.
    """

    coro: Coroutine[Any, Any, Any]
    at: int
    waits: bool = True
    died: bool = False

    def __await__(self) -> Generator[Any, Any, int]:
        steps, value = 0, None
        error: BaseException | None = None
        while True:
            try:
                told = self.coro.throw(error) if error is not None else self.coro.send(value)
            except StopIteration:
                return steps
            except BaseException:  # its end, or a group of tasks that says so
                if not self.died:
                    raise
                return steps
            steps += 1
            value = error = None
            self.died = self.died or steps == self.at
            if steps == self.at and not self.waits and isinstance(told, asyncio.Future):
                told.cancel()
            try:
                value = yield told
            except BaseException as raised:
                error = raised
            if steps == self.at:
                error = asyncio.CancelledError()


class Steps:
    """Counts the waits of tasks of some files; at the one that is asked for the process is gone."""

    def __init__(self, at: int, files: tuple[str, ...]) -> None:
        """Take the number of the wait, 0 for none, and how the names of the files end."""
        self._at = at
        self._files = files
        self.passed = 0

    def install(self) -> None:
        """Count in every task that begins from now on in the running loop."""
        asyncio.get_running_loop().set_task_factory(self._make)

    def _make(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any
    ) -> asyncio.Task[Any]:
        mine = getattr(coro, "cr_code", None)
        if mine is not None and mine.co_filename.endswith(self._files):
            coro = self._counted(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async def _counted(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return await _Counted(coro, self._pass)

    def _pass(self) -> None:
        self.passed += 1
        if self.passed == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class _Counted:
    coro: Coroutine[Any, Any, Any]
    passed: Callable[[], None]

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                told = self.coro.throw(error) if error is not None else self.coro.send(value)
            except StopIteration as done:
                return done.value
            value = error = None
            self.passed()
            try:
                value = yield told
            except BaseException as raised:
                error = raised


def forked(work: Callable[[], None]) -> bool:
    """Do something in a fork; say whether it died on the way.

    Raises:
        SystemExit: it failed in another way.

    """
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(1)
    return False


def life(at: int, files: tuple[str, ...], work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Live in a fork with death at a wait of these files, 0 for none; say whether it died."""

    async def whole() -> None:
        Steps(at, files).install()
        await asyncio.create_task(work())

    def run() -> None:
        asyncio.run(whole())
        os._exit(0)

    return forked(run)
