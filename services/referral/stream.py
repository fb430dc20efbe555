"""Providers' feeds as server-sent events (WHATWG HTML, 9.2), woken when the outbox has grown.

Every reader goes by its own number through the stored feed, so a slow or lost one misses nothing;
the bell only says when to look. It rings when this process has appended, at a NOTIFY of another
and, because a listener can die silently (KAFKA-FACTS 16), at every `POLL`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.referral import feeds_store
from shared.access_rules import Verb, scope_of
from shared.clock import now
from shared.database import COMMAND_TIMEOUT, CONNECT_TIMEOUT, Blame, blame, transaction
from shared.outbox import is_from_here
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from shared.access import Caller

POLL: Final = 1.0
"""Seconds after which the bell looks although nobody notified."""

PAGE: Final = 200
"""Entries read at once."""

HEARTBEAT: Final = 10
"""Seconds of silence after which a comment is sent, so that a dead line is noticed."""

_log = Log("stream")


class Bell:
    """Wakes the readers of feeds that have grown; one listener a process, however many readers."""

    def __init__(self, url: str, channel: str) -> None:
        """Take where to listen and look, and on which channel."""
        self._url = url
        self._channel = channel
        self._rung = asyncio.Event()
        self._readers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._heads: dict[str, int] = {}

    @contextmanager
    def reading(self, provider_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the provider's feed may have grown."""
        bell = asyncio.Event()
        self._readers[provider_id].add(bell)
        try:
            yield bell
        finally:
            self._readers[provider_id].discard(bell)
            if not self._readers[provider_id]:
                del self._readers[provider_id]
                self._heads.pop(provider_id, None)

    async def run(self) -> None:
        """Listen and ring until cancelled; without a listener, or a database, the poll serves."""
        conn: asyncpg.Connection | None = None
        try:
            while True:
                if conn is None or conn.is_closed():
                    conn = await self._listen()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._rung.wait()
                self._rung.clear()
                if conn is not None and self._readers:
                    await self._look(conn)
        finally:
            if conn is not None:
                with contextlib.suppress(Exception):  # it only listened
                    await conn.close(timeout=1)

    def ring(self) -> None:
        """Look soon."""
        self._rung.set()

    def _hear(self, _conn: object, _pid: int, _channel: str, payload: str) -> None:
        if not is_from_here(payload):
            self.ring()

    async def _listen(self) -> asyncpg.Connection | None:
        try:
            conn = await asyncpg.connect(
                self._url, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT
            )
            await conn.add_listener(self._channel, self._hear)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None
        return conn

    async def _look(self, conn: asyncpg.Connection) -> None:
        try:
            heads = await feeds_store.read_heads(conn, list(self._readers))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            conn.terminate()  # the database is away; the next round looks again
            return
        for provider, head in heads.items():
            if self._heads.get(provider) != head:
                self._heads[provider] = head
                for bell in self._readers.get(provider, ()):
                    bell.set()


async def follow(
    web: AsyncEngine, bell: Bell, provider_id: str, caller: Caller, after: int
) -> AsyncIterator[ServerSentEvent]:
    """Yield the entries of a feed after a number, for ever; end when the database is away.

    The client comes back with `Last-Event-ID` and misses nothing. What the caller may not see any
    more is left out from then on.
    """
    with bell.reading(provider_id) as grown:
        while True:
            grown.clear()
            try:
                async with transaction(web, scope_of(caller, Verb.REFERRAL, now())) as conn:
                    found = await feeds_store.read_entries(conn, provider_id, after, PAGE)
            except Exception as error:
                if blame(error) is Blame.UNKNOWN:
                    raise
                _log.warning("stream-ended", why=type(error).__name__)
                return
            for seq, kind, body in found:
                yield ServerSentEvent(body, id=str(seq), event=kind, sep="\n")
                after = seq
            if len(found) < PAGE:  # what came since the read has rung
                await grown.wait()


def respond(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """Make the response of a stream."""
    return EventSourceResponse(
        events, ping=HEARTBEAT, sep="\n", headers={"Cache-Control": "no-store"}
    )
