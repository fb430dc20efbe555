"""The sequencer: of all replicas, the one that holds the lock reads the streams and writes the log.

The lock is a session lock of PostgreSQL on a connection of its own. Its holder gives a sign of life
every second; a standby ends the session of one that was silent for three (a frozen process keeps
its lock for as long as it is frozen), and then whatever session is writing the log's head, which it
keeps as well. Taking over begins a new epoch, so that a holder that wakes up later cannot append
(DECISIONS 22, 30).
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from services.audit.service import Fenced, LogBehind
from shared import telemetry
from shared.database import COMMAND_TIMEOUT, CONNECT_TIMEOUT, Blame, blame
from shared.telemetry import Log

if TYPE_CHECKING:
    from services.audit.consumers import AuditConsumer
    from services.audit.service import Ledger

BEAT: Final = 1.0
"""Seconds between signs of life, and between a standby's looks."""

SILENT: Final = 3.0
"""Seconds of silence after which a standby ends the holder's session."""

SIGN_EVERY: Final = 1.0
"""Seconds between checkpoints while the log grows."""

LOCK: Final = zlib.crc32(b"audit.sequencer") & 0x7FFFFFFF
"""Key of the advisory lock."""

_BEAT = """
INSERT INTO sequencer (pid, replica) VALUES (pg_backend_pid(), $1)
ON CONFLICT (single) DO UPDATE
SET pid = excluded.pid, replica = excluded.replica, seen_at = clock_timestamp()
"""
_END_SILENT = """
SELECT pg_terminate_backend(s.pid) FROM sequencer s JOIN pg_locks l ON l.pid = s.pid
  AND l.locktype = 'advisory' AND l.granted AND l.classid = $1::bigint::oid
WHERE s.seen_at < clock_timestamp() - make_interval(secs => $2)
"""
_END_WRITERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'relation' AND relation = 'log_head'::regclass
  AND mode IN ('RowShareLock', 'RowExclusiveLock') AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Sequencer:
    """Waits for the lock, then appends and signs until it is lost; for ever."""

    def __init__(
        self, database_url: str, replica: str, ledger: Ledger, consumer: AuditConsumer
    ) -> None:
        """Take the database as the flow role, this replica's name, the log and its reader."""
        self._url = database_url
        self._replica = replica
        self._ledger = ledger
        self._consumer = consumer
        self._log = Log("sequencer")

    async def run(self) -> None:
        """Run until cancelled; whatever fails is begun again after a growing pause."""
        pause = 0.1
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._session()
            except Fenced:
                self._log.warning("sequencer-fenced")
            except LogBehind as error:
                telemetry.AUDIT_REFUSED.set(1)
                self._log.error("log-refused", error, why=str(error))
            except Exception as error:  # noqa: BLE001  (the sequencer outlives every surprise)
                self._log.error("sequencer-session-lost", error)
            if asyncio.get_running_loop().time() - started > 10:  # noqa: PLR2004  (healthy run)
                pause = 0.1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _session(self) -> None:
        """One database session: wait for the lock, write the log, let go of everything."""
        conn = await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={"application_name": "audit sequencer", "timezone": "UTC"},
        )
        work: list[asyncio.Task[None]] = []
        try:
            await self._wait_for_lock(conn)
            if await conn.fetch(_END_WRITERS):
                self._log.warning("sequencer-writer-ended")
            await conn.execute(_BEAT, self._replica)
            work = [asyncio.create_task(self._beat(conn))]
            size = await self._ledger.take_over()
            telemetry.AUDIT_REFUSED.set(0)
            telemetry.AUDIT_SEQUENCER.set(1)
            self._log.info("sequencer-took-over", replica=self._replica, size=size)
            work += [
                asyncio.create_task(self._sign()),
                asyncio.create_task(self._consumer.run()),
            ]
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            telemetry.AUDIT_SEQUENCER.set(0)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            with contextlib.suppress(
                TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError
            ):
                await conn.close(timeout=1)

    async def _wait_for_lock(self, conn: asyncpg.Connection[Any]) -> None:
        while not await conn.fetchval("SELECT pg_try_advisory_lock($1, 0)", LOCK):
            if await conn.fetch(_END_SILENT, LOCK, SILENT):
                self._log.warning("sequencer-holder-ended")
                continue
            await asyncio.sleep(BEAT)

    async def _beat(self, conn: asyncpg.Connection[Any]) -> None:
        while True:
            await conn.execute(_BEAT, self._replica)
            await asyncio.sleep(BEAT)

    async def _sign(self) -> None:
        """Sign while the log grows; a full disk or a database that blinks only makes it late."""
        while True:
            try:
                signed = await self._ledger.sign()
                if signed is not None:
                    telemetry.AUDIT_SIGNED.set(signed.size)
                telemetry.AUDIT_COVERED.set_to_current_time()
                telemetry.SIGNING.done()
            except OSError as error:
                self._log.error("checkpoint-late", error)
            except Exception as error:
                if isinstance(error, Fenced | LogBehind) or blame(error) not in (
                    Blame.WORLD,
                    Blame.RETRY,
                ):
                    raise
                self._log.error("checkpoint-late", error)
            await asyncio.sleep(SIGN_EVERY)
