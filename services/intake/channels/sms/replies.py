"""Sends the one reply to a text: once, in time, only to the number that wrote (SAFETY 7d).

A reply is claimed before it is sent; what was being sent when a process died is `unknown` and is
never sent again. The number is opened for the sending alone.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from services.intake.contacts.workers_store import is_worker
from services.intake.conversation import (
    ASKS,
    REPLY_WITHIN,
    language_of,
    plan_reply,
    plan_reply_to_worker,
)
from services.intake.reading import read
from services.intake.receipts import Receipt
from services.intake.reporters import store
from services.intake.reporters.asking import Asking
from services.intake.talk.definition import load_definition
from shared import telemetry
from shared.clock import day_of, now
from shared.lean import text
from shared.sms import Refused, Sent, parse_mobile
from shared.telemetry import Log
from shared.text import PhoneInvalid

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.preparing import Secrets
    from services.intake.vault import Vault
    from shared.sms import Gateway

POLL: Final = 0.25
"""Seconds between looks for replies to send."""

LOST_AFTER: Final = timedelta(seconds=90)
"""A reply that is being sent for longer belonged to a process that died: its fate is unknown."""

_log = Log("replies")


def words_of(kind: str, language: str, **filled: str) -> str:
    """Return the words of a reply; `language` may be `banglish`, Bangla in Latin letters."""
    definition = load_definition()
    if kind in ASKS:
        return definition.text(ASKS[kind], language)
    return definition.say(kind, language, **filled)


class Replies:
    """Composes replies, and sends those of gateways that take no reply in their answer."""

    def __init__(
        self,
        engine: AsyncEngine,
        vault: Vault,
        secrets: Secrets,
        gateway: Gateway | None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the flow engine, the vault, the keys, and the SMS gateway if there is one."""
        self._engine = engine
        self._vault = vault
        self._secrets = secrets
        self._gateway = gateway
        self._clock = clock
        self._asking = Asking(secrets.pepper, clock)
        self._sending: set[asyncio.Task[None]] = set()

    async def at_once(
        self, submission_id: UUID, gateway: str, said: str, sender: bytes | None, at: datetime
    ) -> str | None:
        """Return the reply to a text that was just stored, and note that it was given."""
        reading = await asyncio.to_thread(read, said, today=day_of(at))
        async with self._engine.begin() as conn:
            stopped = sender is not None and await store.is_stopped(conn, sender)
            kind = plan_reply(reading, stopped=stopped)
            if sender is not None and await is_worker(conn, sender):
                kind = plan_reply_to_worker(said, stopped=stopped) or kind
            if kind is None:
                return None
            language = language_of(reading)
            await _note(conn, submission_id, gateway, kind, language, at)
            return await self._compose(conn, submission_id, kind, language, sender, said)

    def say_soon(self, number: str, words: str) -> None:
        """Send the reply to a text that is not stored: once, now, only to the number that wrote."""
        if self._gateway is not None:
            sending = asyncio.create_task(self._say(self._gateway, number, words))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    @staticmethod
    async def _say(gateway: Gateway, number: str, words: str) -> None:
        try:
            outcome = await gateway.send(number, words, str(uuid4()))
        except Exception as error:  # noqa: BLE001  (the answer counts, not the reply)
            _log.error("reply-failed", error)
            return
        telemetry.REPLIES.labels("sent" if isinstance(outcome, Sent) else "failed").inc()

    async def run(self) -> None:
        """Send what is due until cancelled; a lost database only makes it wait."""
        while True:
            try:
                sent = await self.round()
            except Exception as error:  # noqa: BLE001  (a lost database only makes it wait)
                _log.error("reply-round-failed", error)
                sent = 0
            await asyncio.sleep(0 if sent else POLL)

    async def round(self) -> int:
        """Send the next reply that is due; return how many were tried."""
        if self._gateway is None:
            return 0
        claimed = await self._claim()
        if claimed is None:
            return 0
        submission_id, number, words = claimed
        outcome = await self._gateway.send(number, words, str(submission_id))
        state = "unknown"
        if isinstance(outcome, Sent):
            state = "sent"
        elif isinstance(outcome, Refused):
            state = "planned" if outcome.again else "failed"
        await self._mark(submission_id, state)
        return int(state != "planned")

    async def _claim(self) -> tuple[UUID, str, str] | None:
        """Claim one reply and compose it in the same transaction; None when nothing is due."""
        at = self._clock()
        async with self._engine.begin() as conn:
            await _give_up(conn, at)
            rows = await conn.execute(
                text(
                    "UPDATE replies r SET state = 'sending', changed_at = :at FROM ("
                    "SELECT submission_id FROM replies WHERE state = 'planned'"
                    " AND send_before > :at ORDER BY send_before LIMIT 1 FOR UPDATE SKIP LOCKED) d"
                    " WHERE r.submission_id = d.submission_id"
                    " RETURNING r.submission_id, r.kind, r.language"
                ),
                {"at": at},
            )
            row = rows.first()
            if row is None:
                return None
            report = await store.find_submission(conn, row.submission_id)
            reporter = await store.reporter_of(conn, row.submission_id)
            if report is None or reporter is None:
                await self._mark(row.submission_id, "failed", conn)
                return None
            sealed = await store.sealed_of(conn, reporter.subject_id)

            def opened(name: str) -> str:
                return str(self._vault.open(reporter, sealed[name])) if name in sealed else ""

            try:
                number = parse_mobile(opened("phone"))
            except PhoneInvalid:
                await self._mark(row.submission_id, "failed", conn)
                return None
            words = await self._compose(
                conn, row.submission_id, row.kind, row.language, report.sender, opened("narrative")
            )
        return row.submission_id, number, words

    async def _compose(
        self,
        conn: AsyncConnection,
        submission_id: UUID,
        kind: str,
        language: str,
        sender: bytes | None,
        said: str,
    ) -> str:
        filled: dict[str, str] = {}
        if kind == "status":
            kind = await self._status(conn, said, sender)
        elif kind == "number":
            found = await store.latest_of(conn, sender, submission_id) if sender else None
            if found is None:
                kind = "received"
            else:
                receipt = Receipt.new()
                digest = receipt.digest(self._secrets.pepper)
                await store.add_receipt(conn, found, digest, self._clock())
                kind, filled["receipt"] = "receipt", receipt.shown
        return words_of(kind, language, **filled)

    async def _status(self, conn: AsyncConnection, said: str, sender: bytes | None) -> str:
        """Return the kind of reply to a receipt that somebody sent by SMS."""
        who = sender.hex() if sender is not None else ""
        answer = await self._asking.answer(conn, said, who)
        return "no_such_number" if answer is None else f"status_{answer}"

    async def _mark(
        self, submission_id: UUID, state: str, conn: AsyncConnection | None = None
    ) -> None:
        statement = text(
            "UPDATE replies SET state = :s, changed_at = :at WHERE submission_id = :id"
        )
        values = {"s": state, "at": self._clock(), "id": submission_id}
        if conn is not None:
            await conn.execute(statement, values)
        else:
            async with self._engine.begin() as own:
                await own.execute(statement, values)
        telemetry.REPLIES.labels(state).inc()


async def _note(
    conn: AsyncConnection, submission_id: UUID, gateway: str, kind: str, language: str, at: datetime
) -> None:
    """Note the one reply that was given in the answer to a text."""
    await conn.execute(
        text(
            "INSERT INTO replies (submission_id, gateway, kind, language, state, send_before,"
            " changed_at) VALUES (:id, :g, :k, :l, 'sent', :until, :at)"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "id": submission_id,
            "g": gateway,
            "k": kind,
            "l": language,
            "until": at + REPLY_WITHIN,
            "at": at,
        },
    )


async def _give_up(conn: AsyncConnection, at: datetime) -> None:
    """End replies that are too late, and those whose sender died."""
    await conn.execute(
        text(
            "UPDATE replies SET changed_at = :at,"
            " state = CASE state WHEN 'planned' THEN 'expired' ELSE 'unknown' END"
            " WHERE state = 'planned' AND send_before <= :at"
            " OR state = 'sending' AND changed_at < :lost"
        ),
        {"at": at, "lost": at - LOST_AFTER},
    )
