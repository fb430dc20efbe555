"""SQL of conversations by text: who wrote before, what was asked, what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.intake.awareness import subscribers
from services.intake.conversation import ANSWER_WITHIN, QUESTIONS, REPLY_WITHIN
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

INLINE: Final = frozenset({"twilio", "telerivet", "cloud"})
"""Gateways whose reply is in the answer to their request, or sent by their own channel; the others'
are sent later, by SMS."""

EARLIER: Final = 20
"""Reports of one number that a text of it may be about."""

IN_A_BATCH: Final = 200
"""Further ones that are looked at, once a number: texts of it may come together."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The last question to a number: about which report, of which kind."""

    submission_id: UUID
    kind: str
    cases: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """What went before a text. `reply`: the channel replies to it later, not in its answer.

    `worker`: the number is of a provider's worker.
    """

    submission_id: UUID
    sender: bytes
    received_at: datetime
    reply: bool
    stopped: bool
    asked: Asked | None
    cases: tuple[UUID, ...]
    worker: bool = False


async def talks_of(conn: AsyncConnection, submissions: Sequence[UUID]) -> dict[UUID, Talk]:
    """Return what went before each of these texts that is of a known number."""
    rows = await conn.execute(
        text(
            "WITH texts AS MATERIALIZED ("
            " SELECT seq, submission_id, sender, received_at, gateway FROM submissions"
            " WHERE submission_id = ANY(CAST(:ids AS uuid[])) AND sender IS NOT NULL),"
            " past AS MATERIALIZED (SELECT b.* FROM"
            " (SELECT sender, max(seq) AS last FROM texts GROUP BY sender) w CROSS JOIN LATERAL"
            " (SELECT b.sender, b.seq, b.submission_id, b.case_ids FROM submissions b"
            "  WHERE b.sender = w.sender AND b.seq < w.last AND b.state IN ('received', 'opened')"
            "  ORDER BY b.seq DESC LIMIT :kept) b)"
            " SELECT s.submission_id, s.sender, s.received_at, s.gateway,"
            " e.submission_id AS earlier, e.case_ids, r.changed_at AS asked_at,"
            " CASE WHEN r.state IN ('sent', 'unknown') THEN r.kind END AS asked,"
            " n.number IS NOT NULL AS stopped, EXISTS (SELECT 1 FROM provider_numbers w"
            "  WHERE w.number_index = s.sender) AS worker"
            " FROM texts s LEFT JOIN stopped_numbers n ON n.number = s.sender"
            " LEFT JOIN LATERAL (SELECT * FROM past b WHERE b.sender = s.sender AND b.seq < s.seq"
            "  ORDER BY b.seq DESC LIMIT :n) e ON true"
            " LEFT JOIN replies r ON r.submission_id = e.submission_id"
            " ORDER BY s.submission_id, e.seq DESC"
        ),
        {"ids": list(submissions), "n": EARLIER, "kept": EARLIER + IN_A_BATCH},
    )
    talks: dict[UUID, Talk] = {}
    for row in rows:
        known = talks.get(row.submission_id)
        asked = known.asked if known is not None else None
        recent = row.asked_at is not None and row.received_at - row.asked_at < ANSWER_WITHIN
        if asked is None and row.asked in QUESTIONS and recent:
            asked = Asked(row.earlier, row.asked, tuple(row.case_ids))
        talks[row.submission_id] = Talk(
            row.submission_id,
            bytes(row.sender),
            row.received_at,
            row.gateway not in INLINE,
            row.stopped,
            asked,
            (*(known.cases if known is not None else ()), *(row.case_ids or ())),
            row.worker,
        )
    return talks


async def save_talks(
    conn: AsyncConnection,
    answers: Mapping[UUID, UUID],
    stops: Sequence[tuple[bytes, UUID]],
    replies: Sequence[tuple[UUID, str, str]],
    at: datetime,
) -> None:
    """Store which texts were answers (to which report), stops, and which replies are planned."""
    if answers:
        await conn.execute(
            text(
                "UPDATE submissions s SET state = 'answer', answers = t.a FROM unnest("
                "CAST(:ids AS uuid[]), CAST(:earlier AS uuid[])) AS t (id, a)"
                " WHERE s.submission_id = t.id"
            ),
            {"ids": list(answers), "earlier": list(answers.values())},
        )
    for number, submission_id in stops:
        await conn.execute(
            text(
                "INSERT INTO stopped_numbers (number, stopped_at, submission_id)"
                " VALUES (:n, :at, :s) ON CONFLICT DO NOTHING"
            ),
            {"n": number, "at": at, "s": submission_id},
        )
        await subscribers.end(conn, number)
    if replies:
        await conn.execute(
            text(
                "INSERT INTO replies (submission_id, gateway, kind, language, send_before,"
                " changed_at) SELECT id, s.gateway, kind, language,"
                " s.received_at + CAST(:within AS interval), :at FROM unnest(CAST(:ids AS uuid[]),"
                " CAST(:kinds AS text[]), CAST(:languages AS text[])) AS t (id, kind, language)"
                " JOIN submissions s ON s.submission_id = t.id ON CONFLICT DO NOTHING"
            ),
            {
                "ids": [submission_id for submission_id, _, _ in replies],
                "kinds": [kind for _, kind, _ in replies],
                "languages": [language for _, _, language in replies],
                "within": REPLY_WITHIN,
                "at": at,
            },
        )
