"""Opening attachments: blurred first, by few, counted; each is an event of the case.

Every call is inside the caller's transaction, which has locked the report; its event is with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from services.intake import store as cases
from services.intake.casework.tasks import SUPERVISOR, Task
from services.intake.data_read import readings
from services.intake.media import store
from services.intake.media.keeping import can_be_shown, name_of, step_of
from services.intake.media.rules import day_of, rules_on
from services.intake.reach import must_reach
from services.intake.reporters.service import GONE
from services.intake.reporters.store import find_submission
from shared.access_rules import Verb
from shared.errors import Conflict, Forbidden, NotFound, Problem
from shared.events import DataRead
from shared.vocabulary import Role, Urgency

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.media.store import Attachment
    from services.intake.reporters.service import Reporters
    from services.intake.reporters.store import Report
    from services.intake.vault import Vault
    from shared.access import Caller
    from shared.outbox import Outbox


class TooManyOpened(Problem):
    """Somebody has opened as much as is good for a person on one day."""

    slug, status, title = "too-many-opened", 429, "Enough for today: another person looks at it"
    retry_after: ClassVar[int] = 3600


FLAGGED: Final = "flagged_attachment"
"""Kind of the task about an attachment that nobody opens any more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An attachment as it came, its event written: `shown` says what may be made of it."""

    attachment: Attachment
    raw: bytes
    shown: str


@dataclass(frozen=True, slots=True)
class Opening:
    """Lists and opens attachments."""

    vault: Vault
    outbox: Outbox
    reporters: Reporters

    async def list(
        self, conn: AsyncConnection, case_id: UUID, caller: Caller, at: datetime
    ) -> list[dict[str, object]]:
        """List what came with the report of a case: never a name of a file, never a link.

        Raises:
            NotFound: no such case for this caller, or another of its report is not for them.

        """
        row = await cases.find_case(conn, case_id)
        if row is None:
            raise NotFound
        await self._must_reach(conn, row.submission_id, caller, at)
        rules = rules_on(at)
        return [
            {
                "attachment_id": one.attachment_id,
                "kind": one.kind,
                "sha256": None if one.state == "erased" else one.sha256.hex(),
                "bytes": one.size,
                "received_at": one.received_at,
                "state": one.state,
                "can_be_shown": one.state == "kept" and can_be_shown(one),
                "may_open": caller.role in rules.trained(one.kind),
            }
            for one in await store.attachments_of(conn, row.submission_id)
        ]

    async def open(
        self,
        conn: AsyncConnection,
        attachment_id: UUID,
        reason: str,
        caller: Caller,
        at: datetime,
        *,
        clear: bool,
    ) -> Opened:
        """Open an attachment for whoever is trained for it; counted, and no more than is good.

        Raises:
            NotFound: no such attachment for this caller. Forbidden: it is another role's.
            Conflict: it was flagged or erased, or no copy can be made of it. TooManyOpened.

        """
        one, _ = await self._lock(conn, attachment_id, caller, at)
        rules = rules_on(at)
        if caller.role not in rules.trained(one.kind):
            raise Forbidden
        if one.state != "kept":
            raise Conflict("nobody opens it any more", state=one.state)
        if not can_be_shown(one):
            raise Conflict("no copy can be made of it: two persons can have the original")
        shown = "sound" if one.kind == "audio" else "clear" if clear else "blurred"
        if await store.count_openings(conn, caller.subject, shown, day_of(at)) >= rules.per_day(
            shown
        ):
            raise TooManyOpened
        return await self._opened(conn, one, shown, reason, caller, at)

    async def original(
        self, conn: AsyncConnection, attachment_id: UUID, reason: str, caller: Caller, at: datetime
    ) -> Opened | None:
        """Give the original to the second of two persons, of whom one is a supervisor; else None.

        What was flagged can be given too: it is the police's or the court's to look at.

        Raises:
            NotFound: no such attachment for this caller. Conflict: it was erased.

        """
        one, report = await self._lock(conn, attachment_id, caller, at)
        if one.state == "erased":
            raise Conflict(GONE, state=one.state)
        first = one.original_asked_by
        roles = {one.original_asked_role, str(caller.role)}
        if first is None or first == caller.subject or str(Role.SUPERVISOR) not in roles:
            await store.ask_original(conn, attachment_id, caller.subject, str(caller.role), at)
            task = Task("original_asked", about=attachment_id, level=SUPERVISOR)
            await self.reporters.tell(
                conn,
                report,
                task,
                "contact-recorded",
                at,
                step=step_of("attachment_original_asked", one),
                by=caller.actor,
            )
            return None
        await store.ask_original(conn, attachment_id, None, None, at)
        return await self._opened(conn, one, "original", reason, caller, at)

    async def flag(
        self, conn: AsyncConnection, attachment_id: UUID, caller: Caller, at: datetime
    ) -> None:
        """Close an attachment that may show abuse: a supervisor decides what follows.

        Raises:
            NotFound: no such attachment for this caller. Conflict: it was erased.

        """
        one, report = await self._lock(conn, attachment_id, caller, at)
        if one.state == "erased":
            raise Conflict(GONE, state=one.state)
        if one.state == "flagged":
            return
        await store.flag(conn, attachment_id, caller.subject, at)
        task = Task(FLAGGED, about=attachment_id, urgency=Urgency.T1, level=SUPERVISOR)
        await self.reporters.tell(
            conn,
            report,
            task,
            "contact-recorded",
            at,
            step=step_of("attachment_flagged", one),
            by=caller.actor,
        )

    async def _lock(
        self, conn: AsyncConnection, attachment_id: UUID, caller: Caller, at: datetime
    ) -> tuple[Attachment, Report]:
        """Lock the report of an attachment, and read it as it is then."""
        found = await store.find_attachment(conn, attachment_id)
        if found is None:
            raise NotFound
        report = await find_submission(conn, found.submission_id, lock=True)
        one = await store.find_attachment(conn, attachment_id)
        if one is None or report is None:
            raise NotFound
        await self._must_reach(conn, one.submission_id, caller, at)
        return one, report

    @staticmethod
    async def _must_reach(
        conn: AsyncConnection, submission_id: UUID, caller: Caller, at: datetime
    ) -> None:
        """Refuse whoever may not know the persons of each case: a picture shows all of them."""
        await must_reach(conn, await store.cases_of(conn, submission_id), caller, Verb.KNOW, at)

    async def _opened(
        self,
        conn: AsyncConnection,
        one: Attachment,
        shown: str,
        reason: str,
        caller: Caller,
        at: datetime,
    ) -> Opened:
        """Open the bytes, and write the event of it to every case of the report."""
        subject = await store.subject_with(conn, one)
        known = await cases.lock_facts(conn, await store.cases_of(conn, one.submission_id))
        if subject is None or not known:
            raise NotFound
        parts = await store.sealed_parts(conn, one)
        raw = await asyncio.to_thread(self.vault.open_parts, subject, name_of(one), parts)
        await store.note_opening(conn, one.attachment_id, caller.subject, shown, reason, at)
        read = DataRead(
            fields=["attachment"], reason=reason, attachment_id=one.attachment_id, shown=shown
        )
        await self.outbox.append(conn, readings(known, read, caller, at))
        return Opened(one, raw, shown)
