"""Intake's use cases on stored submissions and cases: open, triage, show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from services.intake import store
from services.intake.domain import Triage, open_cases, triage
from services.intake.reading import Reading, read
from shared.database import transaction
from shared.errors import NotFound, SettingsError, Stale
from shared.outbox import Stamp
from shared.telemetry import Log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.store import Unopened
    from services.intake.vault import Vault
    from shared.access import Caller
    from shared.events import CaseFacts, Draft
    from shared.outbox import Outbox

_log = Log("intake")


@dataclass(slots=True)
class Opening:
    """The state of one opening: what was locked, and what was decided."""

    unopened: dict[UUID, Unopened]
    opened: dict[UUID, tuple[Reading | None, list[tuple[UUID, CaseFacts]]]]
    drafts: list[tuple[Draft, Stamp]]


def decide_opening(state: Opening, submission_id: UUID, vault: Vault, stamp: Stamp) -> None:
    """Open one submission's cases inside `state`; nothing happens when it is open already."""
    waiting = state.unopened.get(submission_id)
    if waiting is None or submission_id in state.opened:
        return
    reading = None
    narrator = waiting.narrator
    if narrator is not None and not waiting.submission.report.get("concerns"):
        narrative = vault.open(narrator, narrator.fields[0])
        reading = read(str(narrative), today=stamp.at.date())
    elif waiting.submission.channel == "sms":
        reading = read("", today=stamp.at.date())
    cases = open_cases(waiting.submission, reading, stamp.at)
    state.opened[submission_id] = (reading, [(case_id, facts) for case_id, facts, _ in cases])
    state.drafts += [(draft, stamp) for _, _, draft in cases]


class Intake:
    """The use cases that work on stored cases."""

    def __init__(self, flow: AsyncEngine, web: AsyncEngine, outbox: Outbox, vault: Vault) -> None:
        """Take both engines, the outbox and the vault."""
        self._flow = flow
        self._web = web
        self._outbox = outbox
        self._vault = vault

    async def check_keys(self) -> None:
        """Refuse a key-encryption key that the database has not seen beside one it has.

        Raises:
            SettingsError: data in the database is wrapped by a key that the key file lacks.

        """
        fingerprint = self._vault.fingerprint
        async with self._flow.begin() as conn:
            rows = await conn.execute(
                text("SELECT fingerprint FROM key_fingerprints WHERE kind = 'kek' FOR UPDATE")
            )
            known = {bytes(row.fingerprint) for row in rows}
            if known and fingerprint not in known:
                message = (
                    "kek.key is not the key that this database was written with:"
                    " put the old key back; a new one is never made beside old data"
                )
                raise SettingsError(message)
            await conn.execute(
                text(
                    "INSERT INTO key_fingerprints (kind, fingerprint) VALUES ('kek', :f)"
                    " ON CONFLICT DO NOTHING"
                ),
                {"f": fingerprint},
            )

    async def open_overdue(self, at: datetime, limit: int = 50) -> int:
        """Open submissions that no consumer opened in time, through the same decision."""
        async with self._flow.connect() as conn:
            due = await store.due_unopened(conn, at, limit)
        opened = 0
        for submission_id in due:
            try:
                async with self._flow.begin() as conn:
                    await self.open_in(conn, submission_id, at)
                opened += 1
            except Exception as error:  # noqa: BLE001  (one bad submission never stops the sweep)
                _log.error("opening-failed", error)
                async with self._flow.begin() as conn:
                    await store.put_off(conn, submission_id, at)
        return opened

    async def open_in(self, conn: AsyncConnection, submission_id: UUID, at: datetime) -> None:
        """Open one submission's cases inside the caller's transaction, if they are not open."""
        unopened = await store.lock_unopened(conn, [submission_id])
        state = Opening(unopened, {}, [])
        if submission_id in unopened:
            trace = unopened[submission_id].traceparent
            stamp = Stamp(at, "service:intake.sweep", trace)
            decide_opening(state, submission_id, self._vault, stamp)
        await self.save(conn, state)

    async def save(self, conn: AsyncConnection, state: Opening) -> None:
        """Store what was decided and its events."""
        await store.save_opened(conn, state.opened)
        await self._outbox.append(conn, state.drafts)

    async def triage_in(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        change: Triage,
        caller: Caller,
        version: int | None,
        at: datetime,
    ) -> store.CaseRow:
        """Apply a coordinator's triage; a case that nobody opened yet is opened first.

        Raises:
            NotFound: no such case. Stale: `version` is not the present one. Conflict: it is closed.

        """
        row = await store.find_case(conn, case_id)
        if row is None:
            raise NotFound
        await self.open_in(conn, row.submission_id, at)
        row = await store.lock_case(conn, case_id)
        if row is None or row.facts is None:
            raise NotFound
        if version is not None and version != row.version:
            raise Stale(None, version=row.version)
        facts, draft = triage(case_id, row.facts, change)
        await store.save_cases(conn, [(case_id, facts)])
        await self._outbox.append(conn, [(draft, Stamp(at, caller.actor))])
        found = await store.find_case(conn, case_id)
        if found is None:
            raise NotFound
        return found

    async def show_case(self, case_id: UUID, organisation: str) -> store.CaseRow:
        """Read one case as an organisation may see it.

        Raises:
            NotFound: there is none for this organisation.

        """
        async with transaction(self._web, organisation) as conn:
            row = await store.find_case(conn, case_id)
        if row is None:
            raise NotFound
        return row
