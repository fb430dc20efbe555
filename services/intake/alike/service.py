"""Use cases of like cases: look, say that two are different, take that back.

Cases are compared with one another; who asks for a number or a name searches
(`disclosure.search`). Each look-up is counted, and whoever makes many waits (SAFETY 15); each is an
event of every case that it showed. A person says what two cases are; nothing is joined by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from services.intake import store as cases
from services.intake.alike import store
from services.intake.alike.blocks import are_compared
from services.intake.alike.comparing import compare
from services.intake.alike.features import phones
from services.intake.casework.course import told
from services.intake.casework.steps import Taken, add_step
from services.intake.data_read import readings
from services.intake.reach import must
from services.intake.reporters.store import mark_seen
from shared.access_rules import Verb, scope_of
from shared.database import set_reach
from shared.errors import Conflict, NotFound
from shared.events import DataRead, Step
from shared.outbox import Stamp

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.alike.comparing import Alike
    from services.intake.casework.stages import Asked, Stages
    from services.intake.disclosure.look_ups import LookUps
    from shared.events import CaseFacts

MANY: Final = 50
"""Cases that are shown at most, the likeliest first."""

DIFFERENT: Final = "different"
LINKED: Final = "linked"
MERGED: Final = "merged"


@dataclass(frozen=True, slots=True)
class Alikes:
    """What somebody of the desk sees and says of like cases, inside the caller's transaction."""

    stages: Stages
    look_ups: LookUps

    async def look(
        self, conn: AsyncConnection, asked: Asked, *, different: bool = False
    ) -> list[dict[str, Any]]:
        """Return cases of other reports that may be of the same person or incident.

        `said` is what a person said of it (`linked`, `merged`, `different`) or None. One that is
        said to be different is left out, unless more is in common than was when it was said
        (`new`), or `different` asks for it.

        Raises:
            NotFound: no such case for this caller. TooManyLookUps: see `LookUps`.

        """
        row, _ = must(asked.caller, Verb.KNOW, await cases.find_case(conn, asked.case_id), asked.at)
        if row.facts is None:
            raise NotFound
        await self.look_ups.count(conn, asked.caller.actor)
        await set_reach(conn, scope_of(asked.caller, Verb.KNOW, asked.at))
        found = await self._compared(conn, asked.case_id, row.facts)
        apart = await store.said_different(conn, asked.case_id)
        shown = []
        for away, alike, facts in found:
            said = _said(row.facts, away) or (DIFFERENT if away in apart else None)
            new = sorted(set(alike.grounds) - apart[away]) if said == DIFFERENT else []
            if (alike.kind is None and said is None) or (
                said == DIFFERENT and not (new and alike.kind) and not different
            ):
                continue
            shown.append(_shown(away, alike, facts, said, new))
        shown = sorted(shown, key=_likeliest)[:MANY]
        await self._note_reading(conn, asked, [one["case_id"] for one in shown])
        return shown

    async def _compared(
        self, conn: AsyncConnection, case_id: UUID, facts: CaseFacts
    ) -> list[tuple[UUID, Alike, dict[str, Any]]]:
        mine = (await store.load_features(conn, [case_id]))[case_id][0]
        others = await store.list_candidates(conn, mine, test=facts.test)
        known = await store.load_features(conn, others)
        near = {mark for one, _ in known.values() for mark in phones(one.own | one.near)}
        crowded = await store.crowded_of(conn, near & phones(mine.own | mine.near))
        return [
            (away, compare(mine, one, crowded), dict(their_facts))
            for away, (one, their_facts) in known.items()
            if are_compared(mine, one)
        ]

    async def _note_reading(self, conn: AsyncConnection, asked: Asked, shown: list[UUID]) -> None:
        known = await cases.lock_facts(conn, sorted({asked.case_id, *shown}))
        read = DataRead(fields=["alike"], reason="alike")
        await self.stages.outbox.append(conn, readings(known, read, asked.caller, asked.at))

    async def differ(self, conn: AsyncConnection, asked: Asked, other: UUID) -> dict[str, Any]:
        """Say that two cases are not of one person or incident; they are not shown again as such.

        Raises:
            NotFound: one of them is not there for this caller. Conflict: they are one case, or
                linked or merged: that is taken back first.

        """
        facts = await self._lock_both(conn, asked, other)
        if asked.case_id == other:
            raise Conflict("a case does not differ from itself")
        if _said(facts[asked.case_id], other) is not None:
            raise Conflict("they are linked or merged: take that back first")
        known = await store.load_features(conn, [asked.case_id, other])
        mine, theirs = known[asked.case_id][0], known[other][0]
        crowded = await store.crowded_of(conn, phones(mine.own | mine.near))
        grounds = compare(mine, theirs, crowded).grounds
        await store.say_different(conn, asked.case_id, other, grounds, asked.caller.actor, asked.at)
        await self._tell(conn, asked, other, facts, "cases-told-apart", "different")
        return {"case_id": asked.case_id, "different": other}

    async def not_differ(self, conn: AsyncConnection, asked: Asked, other: UUID) -> dict[str, Any]:
        """Take back that two cases are different: they are shown again.

        Raises:
            NotFound: one of them is not there for this caller. Conflict: nobody says so.

        """
        facts = await self._lock_both(conn, asked, other)
        by, at = asked.caller.actor, asked.at
        if not await store.undo_different(conn, asked.case_id, other, by, at):
            raise Conflict("nobody says that they are different")
        await self._tell(conn, asked, other, facts, "cases-not-told-apart", "not-different")
        return {"case_id": asked.case_id, "different": None}

    async def _lock_both(
        self, conn: AsyncConnection, asked: Asked, other: UUID
    ) -> dict[UUID, CaseFacts]:
        await cases.lock_facts(conn, sorted({asked.case_id, other}))
        _, mine = await self.stages.lock(conn, asked)
        _, theirs = await self.stages.lock(conn, replace(asked, case_id=other, version=None))
        return {asked.case_id: mine, other: theirs}

    async def _tell(
        self,
        conn: AsyncConnection,
        asked: Asked,
        other: UUID,
        facts: dict[UUID, CaseFacts],
        event: str,
        step: str,
    ) -> None:
        stamp = Stamp(asked.at, asked.caller.actor)
        drafts = [
            told(key, event, facts[key], Step(cases=[away]))
            for key, away in ((asked.case_id, other), (other, asked.case_id))
        ]
        await self.stages.outbox.append(conn, [(draft, stamp) for draft in drafts])
        row = await cases.find_case(conn, asked.case_id)
        version = row.version if row else 0
        taken = Taken(step, asked.caller.actor, asked.at, version, {"case": str(other)})
        await add_step(conn, asked.case_id, taken)
        await mark_seen(conn, asked.case_id, asked.at)


def _said(facts: CaseFacts, other: UUID) -> str | None:
    if other in facts.work.merged or facts.work.merged_into == other:
        return MERGED
    return LINKED if other in facts.work.linked else None


def _shown(
    case_id: UUID, alike: Alike, facts: dict[str, Any], said: str | None, new: list[str]
) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "likely": alike.kind,
        "score": {"person": round(alike.person, 2), "incident": round(alike.incident, 2)},
        "reasons": alike.reasons,
        "said": said,
        "new": new,
        "status": facts["status"],
    }


def _likeliest(one: dict[str, Any]) -> tuple[bool, float]:
    score = one["score"]
    return one["likely"] != "same_person", -max(score["person"], score["incident"])
