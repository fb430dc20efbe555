"""What stands around a channel in a process: its own room, and the end of its own failures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from shared import telemetry
from shared.database import Blame, blame
from shared.errors import Problem, SettingsError, Unavailable
from shared.telemetry import Log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_log = Log("channels")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a channel may take of a process.

    `paths`: how its paths begin; without any, `/intake/channels/` and its name. `at_once` requests
    are worked on, `waiting` more wait for that in the order of coming, and each has `seconds`.
    """

    paths: tuple[str, ...] = ()
    at_once: int = 64
    waiting: int = 1000
    seconds: float = 60.0


_WHY: Final = {
    **dict.fromkeys((400, 406, 413, 415, 422), "invalid"),
    **dict.fromkeys((401, 403), "not_allowed"),
    **dict.fromkeys((409, 412), "conflict"),
    429: "too_many",
    503: "unavailable",
}
"""Why something was not taken, by its status."""


class Fence:
    """Lets so many requests of a channel in at once; whatever goes wrong inside is a 503 of it."""

    def __init__(self, channel: str, bounds: Bounds) -> None:
        """Take the channel's name and bounds."""
        self._channel = channel
        self._bounds = bounds
        self._room = asyncio.Semaphore(bounds.at_once)
        self._inside = 0
        self.closed = False

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application within the fence."""

        async def fenced(scope: Scope, receive: Receive, send: Send) -> None:
            if self.closed:
                raise Unavailable
            if self._inside >= self._bounds.at_once + self._bounds.waiting:
                self._count("room")
                raise Unavailable
            self._inside += 1
            try:
                async with asyncio.timeout(self._bounds.seconds), self._room:
                    await app(scope, receive, send)
            except (Problem, HTTPException):
                raise
            except TimeoutError as error:
                self._count("time")
                raise Unavailable from error
            except Exception as error:
                if blame(error) in (Blame.WORLD, Blame.RETRY):
                    raise
                _log.error("channel-failed", error, channel=self._channel)
                self._count("request")
                raise Unavailable from error
            finally:
                self._inside -= 1

        return fenced

    def refused(self, status: int) -> None:
        """Count what was sent to the channel and answered with this status, 400 or more."""
        telemetry.REJECTIONS.labels(self._channel, _WHY.get(status, "other")).inc()

    def close(self, error: Exception) -> None:
        """Answer 503 to everything from now on: the channel could not be started."""
        self.closed = True
        why = str(error) if isinstance(error, SettingsError) else None
        _log.error("channel-not-started", error, channel=self._channel, why=why)
        self._count("start")

    def _count(self, what: str) -> None:
        telemetry.CHANNEL_FAILURES.labels(self._channel, what).inc()
