"""Use cases of disclosure; each is inside the caller's transaction, its event with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake import store as cases
from services.intake.casework.store import attempts_of
from services.intake.consent.store import consents_of
from services.intake.disclosure import store
from services.intake.disclosure.cut import agreed_to, may_know, reported_in, safe_phone
from services.intake.preparing import number_index
from services.intake.reach import must
from services.intake.reporters.store import is_stopped, mark_seen
from shared.access_rules import Verb
from shared.errors import Conflict, NotFound
from shared.events import CASES, DataRead, Draft
from shared.outbox import Stamp
from shared.text import PhoneInvalid, parse_phone
from shared.vocabulary import Need

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.consent.record import Consent
    from services.intake.disclosure.store import Known
    from services.intake.store import CaseRow
    from services.intake.vault import Subject, Vault
    from shared.access import Caller
    from shared.outbox import Outbox

_WHO: Final = ("name", "phone", "safe_contact", "support")


@dataclass(frozen=True, slots=True)
class Disclosures:
    """Reads of who a person is. Nothing is read without an event, and nothing else is told."""

    vault: Vault
    outbox: Outbox
    index_key: bytes

    async def disclose(
        self, conn: AsyncConnection, referral_id: UUID, caller: Caller, at: datetime
    ) -> dict[str, Any]:
        """Tell the provider of a referral what was agreed and what its service needs.

        Raises:
            NotFound: no such referral for this provider. Conflict: see `cut.may_know`.

        """
        case_id = await store.case_of_referral(conn, referral_id)
        if case_id is None or caller.org is None:
            raise NotFound
        found = await cases.lock_case(conn, case_id)
        attempt = (await attempts_of(conn, [case_id]))[case_id].get(referral_id)
        provider = attempt.provider_id if attempt is not None else None
        row, _ = must(caller, Verb.KNOW, found, at, provider=provider)
        known = await store.known_of(conn, case_id)
        reported = reported_in(known.report)
        consents = await consents_of(conn, case_id)
        fields = may_know(attempt, row.facts, consents, caller.org, reported, at)
        told = self._told(known, fields, is_person=reported.is_person)
        told = safe_phone(told, stopped=await self._is_stopped(conn, told))
        read = DataRead(fields=list(fields), referral_id=referral_id, provider_id=caller.org)
        await self._note(conn, row, "identity-disclosed", read, caller, at)
        return {
            "referral_id": referral_id,
            "case_id": case_id,
            "need": attempt.need if attempt else None,
            "fields": list(fields),
            "person": {name: told[name] for name in fields},
            "contact_stopped": bool(row.facts and row.facts.contact_stopped),
        }

    async def for_centre(
        self, conn: AsyncConnection, row: CaseRow, to: str, at: datetime
    ) -> tuple[dict[str, Any], Consent, Known]:
        """Open what another centre may learn of a locked case, under the consent it rests on.

        The caller writes the event.

        Raises:
            Conflict: nobody agreed that it learns who the person is.

        """
        known = await store.known_of(conn, row.case_id)
        reported = reported_in(known.report)
        consents = await consents_of(conn, row.case_id)
        found = agreed_to(Need.CASE_MANAGEMENT, consents, to, reported, at)
        if found is None:
            raise Conflict("nobody agreed that they learn who this is", why="no_consent")
        told = self._told(known, found[0], is_person=reported.is_person)
        told = safe_phone(told, stopped=await self._is_stopped(conn, told))
        kept = {*found[0], *({"safe_contact"} if "phone" in found[0] else ())}
        return {name: told.get(name) for name in kept}, found[1], known

    async def read_persons(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        reason: str,
        also: Collection[str],
        caller: Caller,
        at: datetime,
    ) -> dict[str, Any]:
        """Tell staff who the person of a case is, and on request who reported and who is alleged.

        Raises:
            NotFound: no such case for this caller.

        """
        row, _ = must(caller, Verb.KNOW, await cases.lock_case(conn, case_id), at)
        if row.facts is None:
            raise NotFound
        known = await store.known_of(conn, case_id)
        people = [known.person] if known.person is not None else []
        answer: dict[str, Any] = {
            "case_id": case_id,
            "persons": [
                {"ref": s.ref, "about": s is known.person, **self._opened(s)}
                for s in (*people, *known.others)
            ],
        }
        if "reporter" in also:
            answer["reporter"] = self._opened(known.reporter) if known.reporter else None
        if "alleged" in also:
            answer["alleged"] = [self._opened(s) for s in known.alleged]
        read = DataRead(fields=["persons", *sorted(also)], reason=reason)
        await self._note(conn, row, "person-data-read", read, caller, at)
        await mark_seen(conn, case_id, at)
        return answer

    def _opened(self, subject: Subject | None) -> dict[str, Any]:
        if subject is None:
            return {}
        return {f.name: self.vault.open(subject, f) for f in subject.fields}

    def _told(self, known: Known, fields: Collection[str], *, is_person: bool) -> dict[str, Any]:
        """Open the values of the fields; None is not known.

        Beside a phone stands its safe contact, which says whether the phone may be told.
        """
        wanted = set(fields)
        if "phone" in wanted:
            wanted.add("safe_contact")
        person = self._some(known.person, wanted & {*_WHO, "relation_to_reporter"})
        if is_person and known.sole:
            person = self._some(known.reporter, wanted & set(_WHO)) | person
        words = self._some(known.reporter, wanted - {*_WHO, "relation_to_reporter", "reporter"})
        told = person | words
        if "reporter" in wanted:
            told["reporter"] = self._some(known.reporter, {"name", "phone"})
        return {name: told.get(name) for name in fields} | (
            {"safe_contact": told.get("safe_contact")} if "phone" in wanted else {}
        )

    def _some(self, subject: Subject | None, names: Collection[str]) -> dict[str, Any]:
        if subject is None:
            return {}
        return {f.name: self.vault.open(subject, f) for f in subject.fields if f.name in names}

    async def _is_stopped(self, conn: AsyncConnection, told: dict[str, Any]) -> bool:
        contact = told.get("safe_contact") or {}
        try:
            number = parse_phone(contact.get("number") or told.get("phone") or "")
        except PhoneInvalid:
            return False
        return await is_stopped(conn, number_index(self.index_key, number))

    async def _note(
        self,
        conn: AsyncConnection,
        row: CaseRow,
        kind: str,
        read: DataRead,
        caller: Caller,
        at: datetime,
    ) -> None:
        if row.facts is None:
            raise NotFound
        told = msgspec.structs.replace(row.facts, read=read)
        draft = Draft(CASES, kind, str(row.case_id), told, tuple(told.needs))
        await self.outbox.append(conn, [(draft, Stamp(at, caller.actor))])
