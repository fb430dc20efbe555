"""`pashe rotate-keys`: the month's key-encryption key gives way now, not at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from deploy.local.errors import StackError
from deploy.local.parked import run_query

if TYPE_CHECKING:
    import asyncpg


def rotate_keys() -> None:
    """Make a new key-encryption key of intake; data keys are wrapped anew while it serves.

    The old key is destroyed a day later. Back up the new key file at once.
    """

    async def work(conn: asyncpg.Connection[Any]) -> str:
        done = await conn.execute(
            """UPDATE intake.timers SET due_at = now(), payload = '{"step": "look", "now": true}'"""
            " WHERE kind = 'key-epoch' AND coalesce(payload ->> 'step', 'look') = 'look'"
        )
        return str(done)

    if run_query(work).endswith(" 0"):
        raise StackError("a change of keys is under way already")
    typer.echo("A new key is being made; back up the keys folder now, and again in two days.")
