"""Intake's own code on a database of its own, without Kafka: reports in, use cases on them."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from services.intake.casework import store as casework
from services.intake.consent.service import Consents
from services.intake.disclosure.service import Disclosures
from services.intake.erasure.service import Erasures
from services.intake.preparing import Secrets, prepare
from services.intake.report import ReportIn
from services.intake.service import Intake
from services.intake.submissions import SubmissionStore
from services.intake.vault import Vault
from shared.access import Caller
from shared.database import make_engine
from shared.outbox import Outbox
from shared.signing import Signer
from shared.vocabulary import Role
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.intake.casework.review import Attempt
    from tests.support.platform import Database

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
PARTNER = Caller("partner1", Role.PARTNER, "partner-x")
COORDINATOR = Caller("c1", Role.COORDINATOR)
SUPERVISOR = Caller("s1", Role.SUPERVISOR)


@dataclass(slots=True)
class Room:
    """Intake's use cases, under a clock that the test moves."""

    database: Database
    engine: AsyncEngine
    vault: Vault
    secrets: Secrets
    outbox: Outbox
    now: datetime = AT
    receipts: list[dict[str, Any]] = field(default_factory=list)
    postgres: str = ""

    @property
    def intake(self) -> Intake:
        return Intake(self.engine, self.engine, self.outbox, self.vault)

    @property
    def consents(self) -> Consents:
        return Consents(self.vault, self.outbox)

    @property
    def disclosures(self) -> Disclosures:
        return Disclosures(self.vault, self.outbox, self.secrets.index)

    @property
    def erasures(self) -> Erasures:
        return Erasures(self.outbox)

    def clock(self) -> datetime:
        return self.now

    async def report(self, **body: Any) -> list[UUID]:
        """Take a report of a partner and open its cases; return their ids."""
        told = ReportIn.model_validate({"channel": "partner"} | body)
        made = prepare(
            told,
            channel="partner",
            caller=PARTNER,
            vault=self.vault,
            secrets=self.secrets,
            at=self.now,
        )
        (answer,) = await SubmissionStore(self.engine, self.outbox).insert_submissions([made])
        assert isinstance(answer, bytes), answer
        self.receipts.append(json.loads(answer))
        async with self.engine.begin() as conn:
            await self.intake.open_in(conn, made.submission_id, self.now)
        return list(made.submission.case_ids)

    async def refer(self, case_id: UUID, referral: Attempt) -> None:
        """Let intake hear of a referral, as its consumer of `referrals` does."""
        async with self.engine.begin() as conn:
            await casework.save_attempts(conn, [(case_id, referral)])

    async def rows(self, query: str, **values: Any) -> list[Any]:
        async with self.engine.connect() as conn:
            return list((await conn.execute(text(query), values)).all())

    async def facts(self, case_id: UUID) -> dict[str, Any]:
        (row,) = await self.rows("SELECT facts FROM cases WHERE case_id = :c", c=case_id)
        found: dict[str, Any] = (
            json.loads(row.facts) if isinstance(row.facts, str | bytes) else row.facts
        )
        return found

    async def events(self, case_id: UUID) -> list[dict[str, Any]]:
        """Return the events of a case on `cases`, in order."""
        rows = await self.rows(
            "SELECT value FROM outbox WHERE key = :k AND topic = 'cases' ORDER BY id",
            k=str(case_id).encode(),
        )
        return [json.loads(row.value) for row in rows if row.value]


@asynccontextmanager
async def open_room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with fresh_database(postgres_admin_dsn, "intake") as database:
        engine = make_engine(database.urls("intake")["DATABASE_URL"], size=8, name="room")
        secrets = Secrets(os.urandom(32), os.urandom(32), os.urandom(32), "http://test")
        outbox = Outbox("intake", Signer(b"s" * 32))
        try:
            yield Room(
                database,
                engine,
                Vault(os.urandom(32)),
                secrets,
                outbox,
                postgres=postgres_admin_dsn,
            )
        finally:
            await engine.dispose()
