"""`pashe parked` and `pashe replay`: what waits for a person, and what Kafka gets again.

A service replays its own parked records, through its inbox; here a record is only marked. What a
record holds is shown only when it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from deploy.local.database import DATABASE, with_database, with_role
from deploy.local.errors import StackError
from deploy.local.home import HOST, find_home, find_state, load_passwords
from deploy.local.keys import SERVICES, SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
Service = Annotated[str, typer.Argument(help="intake, referral, notification or audit")]
RecordId = Annotated[int, typer.Argument(help="The id that `parked list` shows")]

app = typer.Typer(no_args_is_help=True, help="Records that could not be handled.")
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def admin_url() -> str:
    """Return the superuser's address of the running stack's database.

    Raises:
        StackError: the stack is not up.

    """
    if external := os.environ.get("PASHE_POSTGRES_URL"):
        return with_database(external, DATABASE)
    home = find_home()
    state = find_state(home)
    if state is None:
        message = "the stack is not up: start it with `pashe up`"
        raise StackError(message)
    bare = f"postgresql://{HOST}:{state.postgres_port}/{DATABASE}"
    return with_role(bare, SUPERUSER, load_passwords(home)[SUPERUSER])


def run_query(work: Callable[[asyncpg.Connection[Any]], Coroutine[Any, Any, T]]) -> T:
    """Run work on a connection of the superuser.

    Raises:
        StackError: the stack is not up, or its database does not answer.

    """

    async def connected() -> T:
        conn = await asyncpg.connect(admin_url(), timeout=5, command_timeout=30)
        try:
            return await work(conn)
        finally:
            await conn.close()

    try:
        return asyncio.run(connected())
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        message = f"the database cannot do this: {error}"
        raise StackError(message) from error


def check_service(name: str) -> str:
    """Return the name of a service.

    Raises:
        StackError: there is no such service.

    """
    if name not in SERVICES:
        message = f"there is no service {name}: one of {', '.join(SERVICES)}"
        raise StackError(message)
    return name


@app.command("list")
def list_parked(
    service: Annotated[str | None, typer.Argument(help="Only this service")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what is done or void")] = False,
) -> None:
    """Show what is parked, oldest first, without what it holds."""
    names = [check_service(service)] if service else list(SERVICES)
    states = ["waiting", "replay", *(["void", "dismissed", "done"] if everything else [])]

    async def work(conn: asyncpg.Connection[Any]) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for name in names:
            if await conn.fetchval("SELECT to_regclass($1)", f"{name}.parked") is None:
                continue
            rows = await conn.fetch(
                'SELECT id, consumer, topic, partition, "offset", reason, detail, state,'  # noqa: S608  (checked)
                f" parked_at FROM {name}.parked WHERE state = ANY($1) ORDER BY id",
                states,
            )
            found += [(name, row) for row in rows]
        return found

    table = Table()
    for name in ("service", "id", "consumer", "record", "reason", "detail", "state", "since"):
        table.add_column(name, overflow="fold")
    rows = run_query(work)
    for name, row in rows:
        place = f"{row['topic']}/{row['partition']}@{row['offset']}"
        since = row["parked_at"].strftime("%Y-%m-%d %H:%M:%SZ")
        words = (row["consumer"], place, row["reason"], row["detail"], row["state"], since)
        table.add_row(name, str(row["id"]), *words)
    console.print(table if rows else "Nothing is parked.")


@app.command("show")
def show_parked(
    service: Service,
    record: RecordId,
    *,
    value: Annotated[bool, typer.Option("--value", help="Also what the record holds")] = False,
) -> None:
    """Show one parked record."""
    name = check_service(service)

    async def work(conn: asyncpg.Connection[Any]) -> asyncpg.Record | None:
        return await conn.fetchrow(f"SELECT * FROM {name}.parked WHERE id = $1", record)  # noqa: S608  (checked)

    row = run_query(work)
    if row is None:
        message = f"{name} has no parked record {record}"
        raise StackError(message)
    for column, content in row.items():
        if column == "value" and not value:
            size = "null" if content is None else f"{len(content)} bytes, shown with --value"
            typer.echo(f"value: {size}")
        elif isinstance(content, bytes):
            typer.echo(f"{column}: {content.decode('utf-8', 'backslashreplace')}")
        else:
            typer.echo(f"{column}: {content}")


@app.command("replay")
def replay_parked(
    service: Service,
    records: Annotated[list[int] | None, typer.Argument(help="Ids")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that waits")] = False,
) -> None:
    """Ask the service to handle records again, with all of their key; within a few seconds."""
    name = check_service(service)
    if bool(records) == everything:
        message = "say which records, or --all"
        raise StackError(message)

    async def work(conn: asyncpg.Connection[Any]) -> str:
        return str(
            await conn.execute(
                f"UPDATE {name}.parked p SET state = 'replay' WHERE state = 'waiting'"  # noqa: S608  (checked)
                f" AND ($1::bigint[] IS NULL OR id = ANY($1) OR EXISTS (SELECT 1 FROM {name}.parked"
                " x WHERE x.id = ANY($1) AND x.consumer = p.consumer AND x.key = p.key))",
                records or None,
            )
        )

    typer.echo(f"{run_query(work).split()[-1]} records will be handled again.")


@app.command("dismiss")
def dismiss_parked(
    service: Service,
    record: RecordId,
    by: Annotated[str | None, typer.Option(help="Who decided (default: the user id)")] = None,
) -> None:
    """Say that a waiting record needs nothing more; what waited behind it can be replayed."""
    name = check_service(service)
    who = by or f"uid {os.getuid()}"

    async def work(conn: asyncpg.Connection[Any]) -> str:
        return str(
            await conn.execute(
                f"UPDATE {name}.parked SET state = 'dismissed', dismissed_by = $2, ended_at = now()"  # noqa: S608  (checked)
                " WHERE id = $1 AND state IN ('waiting', 'replay')",
                record,
                who,
            )
        )

    if run_query(work).endswith(" 0"):
        message = f"{name} has no waiting record {record}"
        raise StackError(message)
    typer.echo(f"{name} {record} is dismissed by {who}.")


def replay_outbox(
    service: Service,
    since: Annotated[
        datetime, typer.Option(help="Events from this time on (UTC)", formats=["%Y-%m-%dT%H:%M:%S"])
    ],
    topic: Annotated[str | None, typer.Option(help="Only this topic")] = None,
) -> None:
    """Send a service's events to Kafka once more, from its outbox; consumers drop what they know.

    For a Kafka that lost data, or was made anew.
    """
    name = check_service(service)

    async def work(conn: asyncpg.Connection[Any]) -> str:
        await conn.execute("SET timezone = 'UTC'")
        done = await conn.execute(
            f"UPDATE {name}.outbox SET sent_at = NULL WHERE sent_at IS NOT NULL"  # noqa: S608  (checked)
            " AND value <> '' AND created_at >= $1::timestamp AND ($2::text IS NULL OR topic = $2)",
            since,
            topic,
        )
        await conn.execute(f"NOTIFY outbox_{name}")
        return str(done)

    typer.echo(f"{run_query(work).split()[-1]} events are being sent again.")
