"""SQL of the numbers of providers' workers, and of what they answered by SMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.intake.casework.review import Attempt
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class WorkerNumber:
    """How a provider's worker is reached: sealed for its id, its blind index, its last two signs.

    `way` is `sms`, with a number, or `email`.
    """

    number_id: UUID
    index: bytes
    sealed: bytes
    ending: str
    way: str = "sms"


async def keep_numbers(
    conn: AsyncConnection, provider_id: str, numbers: Sequence[WorkerNumber], by: str
) -> None:
    """Let these be the numbers of a provider, in place of those before."""
    await drop_numbers(conn, provider_id)
    for number in numbers:
        await conn.execute(
            text(
                "INSERT INTO provider_numbers (number_id, provider_id, number_index, number,"
                " ending, way, entered_by) VALUES (:id, :p, :i, :n, :e, :w, :by)"
                " ON CONFLICT (provider_id, number_index) DO NOTHING"
            ),
            {
                "id": number.number_id,
                "p": provider_id,
                "i": number.index,
                "n": number.sealed,
                "e": number.ending,
                "w": number.way,
                "by": by,
            },
        )


async def endings_of(conn: AsyncConnection, provider_id: str) -> list[tuple[str, str]]:
    """Return the way, and the last two signs, of each number and address of a provider."""
    rows = await conn.execute(
        text(
            "SELECT way, ending FROM provider_numbers WHERE provider_id = :p"
            " ORDER BY way DESC, ending"
        ),
        {"p": provider_id},
    )
    return [(row.way, row.ending) for row in rows]


@dataclass(frozen=True, slots=True)
class WorkerContact:
    """Where a worker hears of what is asked: sealed for its id."""

    number_id: UUID
    way: str
    sealed: bytes


async def contacts_of(conn: AsyncConnection, provider_id: str) -> list[WorkerContact]:
    """Return how a provider's workers are reached, in the order they were entered."""
    rows = await conn.execute(
        text(
            "SELECT number_id, way, number FROM provider_numbers WHERE provider_id = :p"
            " ORDER BY seq"
        ),
        {"p": provider_id},
    )
    return [WorkerContact(row.number_id, row.way, bytes(row.number)) for row in rows]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a referral stands, as far as it is known here: whose it is, and how urgent."""

    state: str
    provider_id: str | None
    urgency: str


async def standing_of(conn: AsyncConnection, referral_id: UUID) -> Standing | None:
    """Return how a referral stands, None when it is not known here yet."""
    rows = await conn.execute(
        text("SELECT state, provider_id, urgency FROM case_referrals WHERE referral_id = :r"),
        {"r": referral_id},
    )
    row = rows.first()
    return None if row is None else Standing(row.state, row.provider_id, row.urgency)


@dataclass(frozen=True, slots=True)
class Sifted:
    """Of some referrals: those of which no worker need hear, and those not known well enough."""

    moot: list[UUID]
    later: list[UUID]


async def sift(conn: AsyncConnection, referrals: Sequence[UUID]) -> Sifted:
    """Tell apart, of referrals whose providers are to hear of them, those that are moot.

    Moot: the provider has no worker here, or the referral waits for no answer any more. Later: it
    is not known here yet that a provider has it.
    """
    rows = await conn.execute(
        text(
            "SELECT t.id, r.state IS NULL OR r.provider_id IS NULL"
            "  OR r.state IN ('planned', 'waiting') AS later"
            " FROM unnest(CAST(:r AS uuid[])) AS t (id)"
            " LEFT JOIN case_referrals r ON r.referral_id = t.id"
            " WHERE r.state IS DISTINCT FROM 'assigned' OR r.provider_id IS NULL OR NOT EXISTS"
            " (SELECT 1 FROM provider_numbers n WHERE n.provider_id = r.provider_id)"
        ),
        {"r": list(referrals)},
    )
    found = rows.all()
    return Sifted(
        [row.id for row in found if not row.later], [row.id for row in found if row.later]
    )


async def without_worker(conn: AsyncConnection, referrals: Collection[UUID]) -> set[UUID]:
    """Return those of some referrals whose provider has no worker here."""
    rows = await conn.execute(
        text(
            "SELECT referral_id FROM case_referrals r WHERE provider_id IS NOT NULL"
            " AND referral_id = ANY(CAST(:r AS uuid[])) AND NOT EXISTS"
            " (SELECT 1 FROM provider_numbers n WHERE n.provider_id = r.provider_id)"
        ),
        {"r": sorted(referrals)},
    )
    return {row.referral_id for row in rows}


async def drop_numbers(conn: AsyncConnection, provider_id: str) -> bool:
    """Forget the numbers of a provider; False if there is none."""
    found = await conn.execute(
        text("DELETE FROM provider_numbers WHERE provider_id = :p RETURNING 1"), {"p": provider_id}
    )
    return found.first() is not None


async def is_worker(conn: AsyncConnection, number: bytes) -> bool:
    """Say whether a number (its blind index) is of a provider's worker."""
    found = await conn.scalar(
        text("SELECT EXISTS (SELECT 1 FROM provider_numbers WHERE number_index = :n)"),
        {"n": number},
    )
    return bool(found)


@dataclass(frozen=True, slots=True)
class Asked:
    """A referral that waits for the answer of a number's provider, or had it (`given`)."""

    case_id: UUID
    attempt: Attempt
    given: str | None


async def asked_of(conn: AsyncConnection, number: bytes) -> list[Asked]:
    """Return what the providers of a number are asked now, and what they answered by SMS."""
    rows = await conn.execute(
        text(
            "SELECT r.case_id, a.answer, r.referral_id, r.need, r.attempt, r.state, r.how_much,"
            " r.urgency, r.version, r.provider_id FROM provider_numbers n"
            " JOIN case_referrals r USING (provider_id)"
            " LEFT JOIN LATERAL (SELECT answer FROM provider_answers p"
            "  WHERE p.referral_id = r.referral_id ORDER BY answered_at LIMIT 1) a ON true"
            " WHERE n.number_index = :n AND (r.state = 'assigned' OR a.answer IS NOT NULL)"
            " ORDER BY r.referral_id"
        ),
        {"n": number},
    )
    return [Asked(row.case_id, Attempt(*row[2:]), row.answer) for row in rows]


async def note_answer(
    conn: AsyncConnection, message: tuple[str, bytes], asked: Asked, answer: str, at: datetime
) -> bool:
    """Note which message (gateway and repeat key) answered; False when it was noted before."""
    found = await conn.execute(
        text(
            "INSERT INTO provider_answers (gateway, message_key, case_id, referral_id, answer,"
            " answered_at) VALUES (:g, :m, :c, :r, :a, :at) ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {
            "g": message[0],
            "m": message[1],
            "c": asked.case_id,
            "r": asked.attempt.referral_id,
            "a": answer,
            "at": at,
        },
    )
    return found.first() is not None


async def is_noted(conn: AsyncConnection, message: tuple[str, bytes]) -> bool:
    """Say whether a message answered before."""
    found = await conn.scalar(
        text(
            "SELECT EXISTS (SELECT 1 FROM provider_answers WHERE gateway = :g AND message_key = :m)"
        ),
        {"g": message[0], "m": message[1]},
    )
    return bool(found)
