"""Finding a case by what somebody has in hand: a receipt, a reference, a number or a name.

A number and a name are compared by blind marks; a look-up is counted for whoever makes it, and who
makes many waits (SAFETY 15). That a case was found by one is an event of the case. A receipt that
does not exist counts as a guess. Whatever the caller may not reach is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.intake import store as cases
from services.intake.blind import blind_of
from services.intake.data_read import readings
from services.intake.preparing import external_mark
from services.intake.reach import matter
from services.intake.receipts import parse_receipt
from services.intake.reporters.store import find_report
from shared.access_rules import Verb, decide, scope_of
from shared.database import set_reach
from shared.errors import InvalidBody, NotFound
from shared.events import DataRead
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.disclosure.look_ups import LookUps
    from services.intake.preparing import Secrets
    from shared.access import Caller
    from shared.outbox import Outbox

MANY: Final = 50
"""Cases that are shown at most."""

SHORT: Final = 8
"""Hexadecimal digits of a case's id that a page shows and people say to one another."""

_MARKED: Final = text("""
SELECT o.case_id, array_agg(DISTINCT o.kind ORDER BY o.kind) AS kinds FROM subjects o
JOIN cases k USING (case_id)
WHERE (o.phone_mark = :phone OR o.name_mark = :name) AND k.facts IS NOT NULL AND in_reach(k.facts)
GROUP BY o.case_id ORDER BY o.case_id LIMIT :n
""")

_BEGINS: Final = text("""
SELECT case_id FROM cases WHERE case_id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)
AND facts IS NOT NULL AND in_reach(facts) ORDER BY case_id LIMIT :n
""")


@dataclass(frozen=True, slots=True)
class Search:
    """Finds cases for somebody of the desk; each call is inside the caller's transaction."""

    outbox: Outbox
    secrets: Secrets
    look_ups: LookUps

    async def by_person(
        self,
        conn: AsyncConnection,
        caller: Caller,
        at: datetime,
        *,
        phone: str | None = None,
        name: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return cases with somebody of this number or name: `of` says as what.

        Raises:
            InvalidBody: it is no number, or the name has no letter. TooManyLookUps.

        """
        blind = blind_of(self.secrets.index)
        marks = {"phone": blind.phone(phone), "name": blind.name(name)}
        if not any(marks.values()):
            field = "phone" if phone is not None else "name"
            raise InvalidBody(None, errors=[{"field": field, "rule": field}])
        await self.look_ups.count(conn, caller.actor)
        await set_reach(conn, scope_of(caller, Verb.KNOW, at))
        rows = list(await conn.execute(_MARKED, {**marks, "n": MANY}))
        known = await cases.lock_facts(conn, sorted(row.case_id for row in rows))
        read = DataRead(fields=["phone" if phone is not None else "name"], reason="search")
        await self.outbox.append(conn, readings(known, read, caller, at))
        return [{"case_id": row.case_id, "of": list(row.kinds)} for row in rows]

    async def by_receipt(
        self, conn: AsyncConnection, caller: Caller, receipt: str, at: datetime
    ) -> list[dict[str, Any]]:
        """Return the cases of the report that a receipt belongs to.

        Raises:
            InvalidBody: it is no receipt. NotFound: there is none like it.

        """
        parsed = parse_receipt(receipt)
        if parsed is None:
            raise InvalidBody(None, errors=[{"field": "receipt", "rule": "check-digits"}])
        report = await find_report(conn, parsed.digest(self.secrets.pepper))
        if report is None:
            raise NotFound
        return await self._reached(conn, report.case_ids, caller, at)

    async def by_reference(
        self, conn: AsyncConnection, caller: Caller, system: str, value: str, at: datetime
    ) -> list[dict[str, Any]]:
        """Return the cases of reports that carry a reference of another system."""
        found = await cases.find_by_mark(conn, external_mark(self.secrets.index, system, value))
        ids = [case_id for item in found for case_id in item["case_ids"]]
        return await self._reached(conn, ids, caller, at)

    @staticmethod
    async def by_short(
        conn: AsyncConnection, caller: Caller, short: str, at: datetime
    ) -> list[dict[str, Any]]:
        """Return the cases whose id begins so."""
        first, last = short.ljust(32, "0"), short.ljust(32, "f")
        await set_reach(conn, scope_of(caller, Verb.SEE, at))
        rows = await conn.execute(_BEGINS, {"first": first, "last": last, "n": MANY})
        return [{"case_id": row.case_id, "of": []} for row in rows]

    @staticmethod
    async def _reached(
        conn: AsyncConnection, ids: Collection[UUID], caller: Caller, at: datetime
    ) -> list[dict[str, Any]]:
        found = []
        for case_id in dict.fromkeys(ids):
            row = await cases.find_case(conn, case_id)
            if row is not None and row.facts and decide(caller, Verb.SEE, matter(row), at):
                found.append({"case_id": case_id, "of": []})
        return found
