"""The dataset of a year is given out when a second person agrees (SAFETY 19), and that is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from services.audit.figures import store
from services.audit.figures.dataset import Dataset, Record, TooFew, protect, record_of
from services.audit.figures.periods import is_due, quarters_of
from shared.clock import new_event_id
from shared.errors import Conflict, Forbidden, NotFound, Problem
from shared.events import ACCESSES, Draft, HistoryRead
from shared.lean import text
from shared.outbox import Stamp

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.access import Caller
    from shared.outbox import Outbox

SUBJECT: Final = "log"
"""Subject of the event when a dataset is read: it is about no one case."""

_PROPOSE: Final = text("""
INSERT INTO figure_datasets (id, year, purpose, proposed_by, proposed_at)
VALUES (:id, :year, :purpose, :by, :at)
""")
_FIND: Final = text("SELECT year, proposed_by, approved_by FROM figure_datasets WHERE id = :id")
_APPROVE: Final = text(
    "UPDATE figure_datasets SET approved_by = :by, approved_at = :at"
    " WHERE id = :id AND approved_by IS NULL"
)
_KEPT: Final = text("SELECT dataset::text FROM figure_years WHERE year = :year")
_KEEP: Final = text("""
INSERT INTO figure_years (year, made_at, dataset) VALUES (:year, :at, CAST(:dataset AS jsonb))
ON CONFLICT (year) DO NOTHING
""")


class NotOver(Problem):
    """The year has not ended long enough ago, or has too few persons."""

    slug, status, title = "no-dataset", 409, "There is no dataset of this year"
    YEAR: ClassVar[str] = (
        "a year has a dataset two weeks after its end: one that grew would show who came"
    )
    FEW: ClassVar[str] = "too few persons were reported in this year to hide anybody among them"


@dataclass(frozen=True, slots=True)
class Given:
    """The dataset of a year as it is given out."""

    year: int
    dataset: Dataset


class Datasets:
    """Proposals, agreements, and the dataset of each year, which is made once."""

    def __init__(self, flow: AsyncEngine, outbox: Outbox) -> None:
        """Take the engine of the flow role, and where readings are told."""
        self._flow = flow
        self._outbox = outbox

    async def propose(self, caller: Caller, year: int, purpose: str, at: datetime) -> UUID:
        """Note that somebody wants a year's dataset; nothing is given out.

        Raises:
            NotOver: it has no dataset yet.

        """
        if not is_due(quarters_of(year)[-1], at):
            raise NotOver(NotOver.YEAR)
        proposal = new_event_id()
        told = {"id": proposal, "year": year, "purpose": purpose, "by": caller.subject, "at": at}
        async with self._flow.begin() as conn:
            await conn.execute(_PROPOSE, told)
            await self._tell(conn, caller, f"dataset {year} asked", at)
        return proposal

    async def approve(self, caller: Caller, proposal: UUID, at: datetime) -> None:
        """Agree to a proposal; the dataset is made if the year has none.

        Raises:
            NotFound: there is no such proposal.
            Forbidden: whoever proposed it approves it too.
            Conflict: it was approved before.
            NotOver: too few persons.

        """
        async with self._flow.connect() as conn:
            row = (await conn.execute(_FIND, {"id": proposal})).first()
        if row is None:
            raise NotFound
        if row.proposed_by == caller.subject:
            raise Forbidden("another person must approve what you proposed")
        if row.approved_by is not None:
            raise Conflict("somebody approved it before")
        await self._make(row.year, at)
        async with self._flow.begin() as conn:
            await conn.execute(_APPROVE, {"id": proposal, "by": caller.subject, "at": at})
            await self._tell(conn, caller, f"dataset {row.year} approved", at)

    async def give(self, caller: Caller, proposal: UUID, at: datetime) -> Given:
        """Return the dataset of an approved proposal; that is told in the history.

        Raises:
            NotFound: there is no such proposal.
            Conflict: nobody approved it yet.

        """
        async with self._flow.begin() as conn:
            row = (await conn.execute(_FIND, {"id": proposal})).first()
            if row is None:
                raise NotFound
            if row.approved_by is None:
                raise Conflict("another person must approve it first")
            kept = await conn.scalar(_KEPT, {"year": row.year})
            await self._tell(conn, caller, f"dataset {row.year}", at)
        return Given(row.year, _decode(str(kept)))

    async def _make(self, year: int, at: datetime) -> None:
        """Make a year's dataset, once: made again it would differ by who came or was erased."""
        async with self._flow.begin() as conn:
            if await conn.scalar(_KEPT, {"year": year}) is not None:
                return
            persons = [
                person
                for quarter in quarters_of(year)
                async for person in store.read_persons(conn, quarter)
            ]
        records = [found for person in persons if (found := record_of(person)) is not None]
        try:
            made = await asyncio.to_thread(protect, records)
        except TooFew:
            raise NotOver(NotOver.FEW) from None
        async with self._flow.begin() as conn:
            await conn.execute(_KEEP, {"year": year, "at": at, "dataset": _encode(made)})

    async def _tell(self, conn: AsyncConnection, caller: Caller, what: str, at: datetime) -> None:
        data = HistoryRead(reader=caller.subject, role=str(caller.role), what=what)
        draft = Draft(ACCESSES, "history-read", SUBJECT, data)
        await self._outbox.append(conn, [(draft, Stamp(at, caller.actor))])


def _encode(made: Dataset) -> str:
    groups = [[one.sex, one.age, one.kinds, n] for one, n in made.groups.items()]
    return msgspec.json.encode({"groups": groups, "report": made.report}).decode()


def _decode(told: str) -> Dataset:
    found: dict[str, Any] = msgspec.json.decode(told)
    groups = {Record(sex, age, tuple(kinds)): n for sex, age, kinds, n in found["groups"]}
    return Dataset(groups, found["report"])
