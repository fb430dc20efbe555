"""What a restore does with a log that came from a backup: under which name it goes on."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg

from deploy.local.errors import StackError
from services.audit import reopening
from services.audit.checkpoint import NoteInvalid


def state_folder(keys: Path) -> Path:
    """Return where audit keeps what outlives the database: AUDIT_STATE_DIR, else by the keys."""
    given = os.environ.get("AUDIT_STATE_DIR")
    return Path(given) if given else keys / "state"


async def reopen(url: str, keys: Path) -> str | None:
    """Begin the log anew if it is behind what was published; return its new name.

    Raises:
        StackError: the log's key or the checkpoint outside of the database is of another log.

    """
    seed = bytes.fromhex((keys / "audit" / "log.key").read_text("ascii"))
    conn = await asyncpg.connect(url, timeout=10)
    try:
        return await reopening.reopen_if_behind(conn, seed, state_folder(keys))
    except NoteInvalid as error:
        message = f"the history cannot go on: {error}; put back log.key and {state_folder(keys)}"
        raise StackError(message) from None
    finally:
        await conn.close()


async def remember(url: str, keys: Path) -> None:
    """Remember outside of the database under which name its log goes on."""
    conn = await asyncpg.connect(url, timeout=10)
    try:
        await reopening.keep_origin(conn, state_folder(keys))
    finally:
        await conn.close()
