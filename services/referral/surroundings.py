"""Reads the offers around places that nobody covers, step by step, until one may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.referral import offers_store
from services.referral.ranking import policy_on
from services.referral.widening import MOST, is_short, may_be_asked, rings
from services.referral.world import Change, question_for
from shared.clock import day_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.world import World
    from shared.events import CaseFacts


async def look_around(
    conn: AsyncConnection,
    world: World,
    asked: Iterable[tuple[UUID, CaseFacts, str]],
    at: datetime,
) -> None:
    """Read into the world what is around the places of these needs of cases, where it is short.

    These offers are no machine's choice, so their places are not locked.
    """
    for case_id, facts, need in asked:
        had = frozenset(r.offer_id for r in world.of(case_id, need) if r.offer_id)
        question = question_for(facts, need, had)
        place = (need, question.areas[0])
        if place in world.wider or not is_short(question, world.candidates(question, Change()), at):
            continue
        world.wider[place] = []
        for areas in rings(question, policy_on(day_of(at)).widen):
            around = await offers_store.find_around(conn, need, areas, MOST)
            for offer in around:
                world.offers.setdefault(offer.offer_id, offer)
            world.wider[place] += [offer.offer_id for offer in around]
            if may_be_asked(question, around, at):
                break
