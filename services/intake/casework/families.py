"""Use cases of cases that belong together: split a report, link two cases, take a link back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from services.intake import store as cases
from services.intake.blind import blind_of
from services.intake.casework import kin, kin_store
from services.intake.casework.desk import carry_out
from services.intake.casework.steps import Taken, add_step
from services.intake.consent.store import add_sealed, person_ref_of
from services.intake.disclosure.store import known_of
from services.intake.domain import age_of
from services.intake.reporters.store import mark_seen
from shared.errors import NotFound
from shared.outbox import Stamp
from shared.vocabulary import supports_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Asked, Stages
    from services.intake.store import CaseRow
    from services.intake.vault import Subject
    from shared.events import CaseFacts, Draft

_SEALED: Final = ("name", "phone", "safe_contact", "relation_to_reporter", "support")
_Linking = tuple[tuple[UUID, "CaseFacts", "Draft"], ...]


@dataclass(frozen=True, slots=True)
class Families:
    """What a person of the desk says about which cases belong together."""

    stages: Stages
    index_key: bytes

    async def split(
        self, conn: AsyncConnection, asked: Asked, persons: Sequence[Mapping[str, Any]]
    ) -> tuple[CaseRow, list[UUID]]:
        """Split a case into those of the persons found; return it and the new cases.

        `persons` are bodies of `FoundIn`. The report keeps its receipt and its answers.

        Raises:
            NotFound: no such case for this caller. Stale, Conflict: see `Stages.lock`, `kin.split`.

        """
        submission_id = await kin_store.lock_report(conn, asked.case_id)
        if submission_id is None:
            raise NotFound
        _, facts = await self.stages.lock(conn, asked)
        labels = {str(p["household"]) for p in persons if p.get("household")}
        stays = kin.stays_first(facts, len(persons))
        ids = [uuid4() for _ in persons[stays:]]
        found = [_found(p) for p in persons]
        made = kin.split(asked.case_id, facts, found, ids, {label: uuid4() for label in labels})
        born = [(key, f"s-{key.hex[:8]}", p) for key, p in zip(ids, persons[stays:], strict=True)]
        coarse = [(key, ref, _coarse(ref, p)) for key, ref, p in born]
        await kin_store.add_cases(conn, asked.case_id, coarse)
        for key, ref, person in born:
            subject = self._sealed(key, ref, person)
            await kin_store.add_person(conn, submission_id, subject)
        if made.stays:
            await self._know_more(conn, asked.case_id, submission_id, persons[0])
        cases.save_cases(conn, [(asked.case_id, made.facts), *made.new])
        detail = {"cases": [str(key) for key in ids], "persons": len(persons)}
        await self._step(conn, asked, "split", detail)
        stamp = Stamp(asked.at, asked.caller.actor)
        await self.stages.outbox.append(conn, [(draft, stamp) for draft in made.drafts])
        await carry_out(conn, made.orders, by=asked.caller.actor, at=asked.at)
        await mark_seen(conn, asked.case_id, asked.at)
        row = await cases.find_case(conn, asked.case_id)
        if row is None:
            raise NotFound
        return row, ids

    def _sealed(self, case_id: UUID, ref: str, person: Mapping[str, Any]) -> Subject:
        told = {name: person[name] for name in _SEALED if person.get(name)}
        marks = blind_of(self.index_key).marks(told)
        return self.stages.vault.seal(case_id, "person", ref, told, marks)

    async def _know_more(
        self, conn: AsyncConnection, case_id: UUID, submission_id: UUID, person: Mapping[str, Any]
    ) -> None:
        """Seal what became known of the one whose case stays, beside what was known."""
        told = {name: person[name] for name in _SEALED if person.get(name)}
        if not told:
            return
        known = (await known_of(conn, case_id)).person
        if known is None:
            ref = await person_ref_of(conn, case_id)
            subject = self._sealed(case_id, ref or "", person)
            if ref is None:
                marks = blind_of(self.index_key).marks(told)
                subject = self.stages.vault.seal(case_id, "person", None, told, marks)
            await kin_store.add_person(conn, submission_id, subject)
            return
        versions = {f.name: f.version for f in known.fields}
        for name, value in told.items():
            sealed = self.stages.vault.seal_more(known, name, value, versions.get(name, 0) + 1)
            await add_sealed(conn, known.subject_id, sealed)
        marks = blind_of(self.index_key).marks(told)
        await kin_store.mark_person(conn, known.subject_id, marks)

    async def link(
        self, conn: AsyncConnection, asked: Asked, other: UUID, kind: str
    ) -> dict[str, Any]:
        """Say that two cases belong together; a conflict in either is shown with the answer.

        Raises:
            NotFound: one of them is not there for this caller. Stale, Conflict: see `kin.link`.

        """

        def decide(one: CaseFacts, two: CaseFacts) -> _Linking:
            return kin.link(asked.case_id, one, other, two, kind)

        return await self._join(conn, asked, other, "link", decide)

    async def unlink(self, conn: AsyncConnection, asked: Asked, other: UUID) -> dict[str, Any]:
        """Take a link back.

        Raises:
            NotFound, Stale, Conflict: as `link`.

        """

        def decide(one: CaseFacts, two: CaseFacts) -> _Linking:
            return kin.unlink(asked.case_id, one, other, two)

        return await self._join(conn, asked, other, "unlink", decide)

    async def merge(self, conn: AsyncConnection, asked: Asked, other: UUID) -> dict[str, Any]:
        """Say that another case is of the same person and is worked on here from now on.

        Nothing is moved: reports, referrals, notices and consents stay where they are.

        Raises:
            NotFound: one of them is not there for this caller. Stale, Conflict: see `kin.merge`.

        """

        def decide(one: CaseFacts, two: CaseFacts) -> _Linking:
            return kin.merge(asked.case_id, one, other, two)

        return await self._join(conn, asked, other, "merge", decide)

    async def unmerge(self, conn: AsyncConnection, asked: Asked, other: UUID) -> dict[str, Any]:
        """Take a merge back: each case is worked on by itself again.

        Raises:
            NotFound, Stale, Conflict: as `merge`.

        """

        def decide(one: CaseFacts, two: CaseFacts) -> _Linking:
            return kin.unmerge(asked.case_id, one, other, two)

        return await self._join(conn, asked, other, "unmerge", decide)

    async def _join(
        self,
        conn: AsyncConnection,
        asked: Asked,
        other: UUID,
        kind: str,
        decide: Callable[[CaseFacts, CaseFacts], _Linking],
    ) -> dict[str, Any]:
        await cases.lock_facts(conn, sorted({asked.case_id, other}))
        row, facts = await self.stages.lock(conn, asked)
        _, second = await self.stages.lock(conn, replace(asked, case_id=other, version=None))
        made = decide(facts, second)
        cases.save_cases(conn, sorted((key, new) for key, new, _ in made))
        stamp = Stamp(asked.at, asked.caller.actor)
        await self.stages.outbox.append(conn, [(draft, stamp) for _, _, draft in made])
        await self._step(conn, asked, kind, {"case": str(other)})
        await mark_seen(conn, asked.case_id, asked.at)
        work = next(f.work for key, f, _ in made if key == asked.case_id)
        return {
            "case_id": asked.case_id,
            "linked": work.linked,
            "merged": work.merged,
            "conflict": facts.conflict or second.conflict,
            "version": row.version + 1,
        }

    @staticmethod
    async def _step(
        conn: AsyncConnection, asked: Asked, kind: str, detail: Mapping[str, Any]
    ) -> None:
        row = await cases.find_case(conn, asked.case_id)
        version = row.version if row else 0
        step = Taken(kind, asked.caller.actor, asked.at, version, detail)
        await add_step(conn, asked.case_id, step)


def _found(person: Mapping[str, Any]) -> kin.Found:
    return kin.Found(
        age=age_of(person.get("age")),
        sex=str(person.get("sex") or "unknown"),
        languages=tuple(person.get("languages", ())),
        support=tuple(supports_in(person.get("support", ()))),
        needs=tuple(person.get("needs", ())),
        household=person.get("household"),
    )


def _coarse(ref: str, person: Mapping[str, Any]) -> dict[str, Any]:
    """Return the person as the coarse report keeps one: nothing that names or finds anybody."""
    return {
        "ref": ref,
        "role": "at_risk",
        "count": 1,
        "age": person.get("age"),
        "sex": person.get("sex"),
        "languages": person.get("languages", []),
        "support": supports_in(person.get("support", ())),
        "lives_with_alleged": person.get("lives_with_alleged"),
        "with": [],
    }
