"""Takes a provider's answer by SMS: matched with its referral, and told once."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from services.intake import store as cases
from services.intake.contacts import workers_store
from services.intake.contacts.answer import choose
from shared.answer_code import answer_code
from shared.events import SUBMISSIONS, Draft, ProviderAnswered
from shared.outbox import Stamp

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.contacts.answer import Said
    from services.intake.contacts.workers_store import Asked
    from shared.outbox import Outbox

ACTOR: Final = "provider_worker:sms"
"""Who acted, for the history: the number stays here."""


class Outcome(StrEnum):
    """What became of a text that is an answer."""

    TAKEN = "taken"
    REPEATED = "repeated"


async def take_answer(
    conn: AsyncConnection,
    outbox: Outbox,
    sender: bytes,
    said: Said,
    message: tuple[str, bytes],
    at: datetime,
) -> Outcome | None:
    """Tell referral what a provider answered; None when the text is for a person to read.

    `sender` is the blind index of the number that wrote, `message` the gateway and what makes a
    repeat of this message a repeat. The same answer in another message is taken, and told once.
    """
    if await workers_store.is_noted(conn, message):
        return Outcome.REPEATED
    case_ids = {asked.case_id for asked in await _fitting(conn, sender, said)}
    if not case_ids:
        return None
    facts = await cases.lock_facts(conn, sorted(case_ids))
    known = {asked.attempt.referral_id: asked for asked in await _fitting(conn, sender, said)}
    given = {key: asked.given for key, asked in known.items() if asked.given is not None}
    chosen = choose(said, [asked.attempt for asked in known.values()], given)
    if chosen is None:
        return None
    attempt, is_new = chosen
    asked = known[attempt.referral_id]
    case = facts.get(asked.case_id)
    if case is None or attempt.provider_id is None or attempt.provider_id in case.excluded:
        return None
    if not await workers_store.note_answer(conn, message, asked, said.answer, at):
        return Outcome.REPEATED
    if is_new:
        data = ProviderAnswered(
            referral_id=attempt.referral_id,
            provider_id=attempt.provider_id,
            answer=said.answer,
            reason=said.reason,
        )
        draft = Draft(SUBMISSIONS, "provider-answered", str(asked.case_id), data)
        await outbox.append(conn, [(draft, Stamp(at, ACTOR))])
    return Outcome.TAKEN


async def _fitting(conn: AsyncConnection, sender: bytes, said: Said) -> list[Asked]:
    found = await workers_store.asked_of(conn, sender)
    return [one for one in found if answer_code(one.attempt.referral_id) == said.code]
