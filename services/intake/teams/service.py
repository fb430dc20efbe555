"""Use cases of teams: who arrives, is invited, changed, ended. In the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID, uuid4

from services.intake.sign_in.store import end_sessions_of
from services.intake.teams import store
from services.intake.teams.rules import HEAD_OF, Post, Worker, must_lead, must_leave_a_head
from shared.clock import DHAKA
from shared.errors import Conflict, NotFound, Unauthenticated
from shared.membership import Membership
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.access import Caller

_log = Log("teams")


class Enrol(Protocol):
    """Asks an issuer for an account: a new one by a name, or a known one by its subject."""

    async def __call__(self, *, login: str = "", subject: str = "") -> tuple[str, str]:
        """Return its subject, and the address to enrol at. Raises Conflict, Unavailable."""


CENTRE: Final = "centre"
"""Who invited somebody that was here before anybody wrote a team down."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is invited: the name to sign in with, as what, from and until which day."""

    name: str
    role: Post
    begins: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a change of which team, and when."""

    provider_id: str
    caller: Caller
    at: datetime

    @property
    def day(self) -> date:
        """The day in Dhaka."""
        return self.at.astimezone(DHAKA).date()


async def arrive(conn: AsyncConnection, claims: Mapping[str, Any], at: datetime) -> None:
    """Let somebody of a place of help in, who is of its team today; a new one is written down.

    Raises:
        Unauthenticated: their place has ended, or has not begun.

    """
    provider_id, subject = str(claims["org"]), str(claims["sub"])
    day = at.astimezone(DHAKA).date()
    known = await store.newest_of(conn, provider_id, subject)
    if known is None:
        held = [Membership.of(one) for one in claims.get("member_of") or ()]
        leads = any(one.kind == HEAD_OF and one.holds(day) for one in held)
        role = Post.HEAD if leads else Post.WORKER
        name = subject[:40]
        new = Worker(uuid4(), provider_id, name, subject, role, day, None, CENTRE, at, joined_at=at)
        await store.add_worker(conn, new)
        return
    if not known.may_work(day):
        raise Unauthenticated
    await store.note_joined(conn, known.worker_id, at)


async def invite(
    conn: AsyncConnection,
    asked: Asked,
    wish: Wish,
    enrol: Enrol,
) -> tuple[Worker, str]:
    """Invite somebody; return them and the address by which they enrol, good for a day.

    Raises:
        Forbidden: the caller does not lead the team. Conflict: the name is taken.

    """
    team = await store.lock_team(conn, asked.provider_id)
    must_lead(team, asked.caller, asked.day)
    if any(one.name == wish.name and one.ended_at is None for one in team):
        raise Conflict("somebody of this name is in the team", why="name")
    subject, address = await enrol(login=wish.name)
    new = Worker(
        uuid4(),
        asked.provider_id,
        wish.name,
        subject,
        wish.role,
        wish.begins or asked.day,
        wish.until,
        asked.caller.actor,
        asked.at,
    )
    await store.add_worker(conn, new)
    _log.info("team-changed", what="invited", by=asked.caller.actor)
    return new, address


async def invite_again(
    conn: AsyncConnection,
    asked: Asked,
    worker_id: UUID,
    enrol: Enrol,
) -> tuple[Worker, str]:
    """Let somebody enrol anew, with another password and phone. Raises as `change`."""
    _, found = await _lead(conn, asked, worker_id)
    if found.subject is None:
        raise Conflict("nobody signed in by this name yet", why="name")
    _, address = await enrol(subject=found.subject)
    await end_sessions_of(conn, found.subject, asked.at)
    return found, address


async def change(
    conn: AsyncConnection, asked: Asked, worker_id: UUID, role: Post, until: date | None
) -> Worker:
    """Give somebody another role, or another last day.

    Raises:
        NotFound: nobody such is in this team. Forbidden: the caller does not lead it.
        Conflict: see `must_leave_a_head`; or the last day is before the first.

    """
    team, found = await _lead(conn, asked, worker_id)
    must_leave_a_head(team, found, asked.caller, asked.day, role=role)
    if until is not None and until < found.begins:
        raise Conflict("the last day is before the first", why="days")
    await store.change_worker(conn, worker_id, role, until)
    new = replace(found, role=role, until=until)
    if not new.may_work(asked.day):
        await end_sessions_of(conn, found.subject, asked.at)
    _log.info("team-changed", what="changed", by=asked.caller.actor)
    return new


async def end(conn: AsyncConnection, asked: Asked, worker_id: UUID) -> None:
    """End somebody's place, and every session of theirs. Raises as `change`."""
    team, found = await _lead(conn, asked, worker_id)
    must_leave_a_head(team, found, asked.caller, asked.day)
    await store.end_worker(conn, worker_id, asked.caller.actor, asked.at)
    await end_sessions_of(conn, found.subject, asked.at)
    _log.info("team-changed", what="ended", by=asked.caller.actor)


async def _lead(
    conn: AsyncConnection, asked: Asked, worker_id: UUID
) -> tuple[list[Worker], Worker]:
    team = await store.lock_team(conn, asked.provider_id)
    found = next((o for o in team if o.worker_id == worker_id and o.ended_at is None), None)
    if found is None:
        raise NotFound
    must_lead(team, asked.caller, asked.day)
    return team, found
