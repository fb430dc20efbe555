"""What is told of referrals: events for the streams, numbered entries for the providers' feeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from services.referral import domain, feeds_store
from services.referral.domain import Actor
from services.referral.referral import Referral, change, facts_of
from shared.clock import new_event_id
from shared.events import REFERRALS, Draft
from shared.feed import StreamEntry
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.outbox import Outbox, Stamp


@dataclass(frozen=True, slots=True)
class Step:
    """One event to be told, with who caused it; `numbered` when it has a place in a feed."""

    type: str
    referral: Referral
    stamp: Stamp
    numbered: bool = False


async def number(conn: AsyncConnection, steps: Sequence[Step]) -> list[Step]:
    """Give each event that a provider hears of its number in that provider's feed."""
    wanted = Counter(s.referral.provider_id for s in steps if s.referral.heard)
    following = await feeds_store.take_numbers(
        conn, {name: count for name, count in wanted.items() if name is not None}
    )
    numbered = []
    for step in steps:
        name = step.referral.provider_id
        if not step.referral.heard or name is None:
            numbered.append(step)
            continue
        referral = change(step.referral, feed_seq=following[name])
        following[name] += 1
        numbered.append(Step(step.type, referral, step.stamp, numbered=True))
    return numbered


def _entry(event_id: UUID, step: Step, sequence: int) -> feeds_store.Entry:
    referral = step.referral
    provider, number = str(referral.provider_id), int(referral.feed_seq or 0)
    reader = Actor(Role.PROVIDER_SYSTEM, "feed", provider)
    body = StreamEntry(
        seq=number,
        type=step.type,
        event_id=event_id,
        case_id=referral.case_id,
        sequence=sequence,
        time=step.stamp.at,
        referral=domain.shown(referral, reader),
    )
    text = msgspec.json.encode(body).decode()
    return feeds_store.Entry(provider, number, event_id, step.type, referral.referral_id, text)


async def announce(conn: AsyncConnection, outbox: Outbox, steps: Sequence[Step]) -> None:
    """Append the events, and write what the providers concerned hear of them."""
    if not steps:
        return
    drafts = [
        (
            Draft(
                REFERRALS,
                step.type,
                str(step.referral.case_id),
                facts_of(step.referral),
                (step.referral.need,),
                new_event_id(),
            ),
            step.stamp,
        )
        for step in steps
    ]
    appended = await outbox.append(conn, drafts)
    entries = [
        _entry(event_id, step, sequence)
        for (event_id, sequence), step in zip(appended, steps, strict=True)
        if step.numbered
    ]
    feeds_store.save_entries(conn, entries)
