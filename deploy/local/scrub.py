"""`pashe scrub`: what was erased goes from free space in the files and from the write-ahead log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import typer

from deploy.local.errors import StackError
from deploy.local.parked import run_query

if TYPE_CHECKING:
    import asyncpg

WITHIN: Final = 3600.0
"""Seconds that one table may take."""

TRIES: Final = 5

_AHEAD: Final = """
SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
  AND name > pg_walfile_name(pg_current_wal_lsn())
"""
"""Files of the log that were made from old ones, and hold their bytes until they are written."""

_REWRITTEN: Final = (
    *(f"intake.{t}" for t in ("subjects", "sealed", "submissions", "cases", "consents", "outbox")),
    "intake.attachment_parts",
    *(f"referral.{t}" for t in ("referrals", "cases", "feed_entries", "outbox")),
    *(f"referral.{t}" for t in ("explanations", "referral_texts")),
    "notification.person_notices",
    "notification.outbox",
    "audit.event_bytes",
)


def scrub() -> None:
    """Let the disk forget what was erased: rewrite the tables that held it, and drop old WAL.

    A table is locked while it is rewritten: reports wait. Do it in a quiet hour, after erasures.
    """
    began = time.monotonic()
    run_query(scrub_database)
    took = time.monotonic() - began
    typer.echo(f"Tables are rewritten and the write-ahead log begins anew ({took:.0f} s).")


async def scrub_database(conn: asyncpg.Connection[Any]) -> None:
    """Rewrite the tables, and leave no old file of the write-ahead log.

    Raises:
        StackError: files of the log are still there.

    """
    await conn.execute("SET lock_timeout = '10s'")
    for table in _REWRITTEN:
        await conn.execute(f"VACUUM (FULL) {table}", timeout=WITHIN)
    await conn.execute("ALTER SYSTEM SET wal_recycle = off")
    await conn.execute("SELECT pg_reload_conf()")
    try:
        for _ in range(TRIES):  # a setting takes a moment to reach the checkpointer
            for _ in range(1 + int(await conn.fetchval(_AHEAD))):
                await conn.execute("SELECT pg_logical_emit_message(false, 'pashe', 'scrub')")
                await conn.execute("SELECT pg_switch_wal()")
            await conn.execute("CHECKPOINT", timeout=WITHIN)
            if not await conn.fetchval(_AHEAD):
                return
        raise StackError("old files of the write-ahead log are still there: try again")
    finally:
        await conn.execute("ALTER SYSTEM RESET wal_recycle")
        await conn.execute("SELECT pg_reload_conf()")
