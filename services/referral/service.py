"""The use cases of referral: what a consumer, a timer or a request does, in one transaction each.

One lock order (DECISIONS 14): cases → referrals → offers whose places are counted → other offers →
feeds → timers, each sorted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from services.referral import domain, feeds_store, offers_store, store
from services.referral.domain import Actor, Order, Referral, Told, facts_of
from services.referral.planning import (
    Case,
    Change,
    World,
    areas_to_load,
    follow,
    release,
    tell,
)
from shared import telemetry, timers
from shared.access import PROVIDERS
from shared.clock import new_event_id, rfc3339
from shared.database import transaction
from shared.errors import NotFound
from shared.events import REFERRALS, Draft
from shared.outbox import Stamp
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.referral.rules import Rule
    from shared.events import CaseFacts
    from shared.outbox import Outbox


class Referrals:
    """Loads and locks what decisions need, and stores what they changed."""

    def __init__(
        self,
        flow: AsyncEngine,
        web: AsyncEngine,
        outbox: Outbox,
        rules: Mapping[str, Rule],
    ) -> None:
        """Take both engines, the outbox and the rules of all needs."""
        self.flow = flow
        self.web = web
        self.outbox = outbox
        self.rules = rules

    # --- Loading and saving -----------------------------------------------------------------

    async def load(
        self,
        conn: AsyncConnection,
        cases: Collection[UUID],
        needs: Mapping[UUID, Iterable[str]],
        told: Iterable[tuple[UUID, CaseFacts]] = (),
        offers: Iterable[str] = (),
    ) -> World:
        """Lock these cases with their referrals, and read the offers for these needs of each.

        `told` are further facts that decisions may go by; `offers` further offers to read.
        """
        world = World(self.rules, cases=await store.lock_cases(conn, cases))
        world.referrals = await store.lock_referrals(conn, list(world.cases))
        facts = [(key, case.facts) for key, case in world.cases.items()] + list(told)
        pairs = {
            (need, area)
            for case_id, known in facts
            for need in needs.get(case_id, ())
            for area in areas_to_load(known)
        }
        held = {
            r.offer_id
            for mine in world.referrals.values()
            for r in mine.values()
            if r.offer_id is not None and r.open
        }
        await self._load_offers(conn, world, pairs, held | set(offers))
        return world

    @staticmethod
    async def _load_offers(
        conn: AsyncConnection, world: World, pairs: set[tuple[str, str]], ids: set[str]
    ) -> None:
        for need, area, offer in await offers_store.find_candidates(conn, pairs):
            world.by_area.setdefault((need, area), []).append(offer.offer_id)
            world.offers[offer.offer_id] = offer
        for offer in await offers_store.find_offers(conn, ids - world.offers.keys()):
            world.offers[offer.offer_id] = offer
        counted = [key for key, offer in world.offers.items() if offer.places_free is not None]
        for offer in await offers_store.lock_counted(conn, counted):
            world.offers[offer.offer_id] = offer

    async def save(self, conn: AsyncConnection, made: Sequence[tuple[Change, Stamp]]) -> None:
        """Store what decisions changed, in their order, with events, feed entries and timers."""
        steps = [_Step(h.type, h.referral, stamp) for done, stamp in made for h in done.happenings]
        places: Counter[str] = Counter()
        loads: Counter[str] = Counter()
        explanations: dict[UUID, dict[str, Any]] = {}
        alarms: dict[tuple[str, UUID], tuple[datetime | None, UUID]] = {}
        for done, _ in made:
            places.update(done.places)
            loads.update(done.loads)
            explanations |= done.explanations
            alarms |= done.timers
        cases = {done.case.case_id: done.case for done, _ in made if done.case is not None}
        await store.save_cases(conn, list(cases.values()))
        await offers_store.move_places(conn, places, loads)
        steps = await _numbered(conn, steps)
        last = {step.referral.referral_id: step.referral for step in steps}
        await store.save_referrals(conn, list(last.values()))
        await store.save_explanations(conn, explanations)
        await self._tell(conn, steps)
        for (kind, referral_id), (at, case_id) in sorted(alarms.items()):
            if at is None:
                await timers.cancel(conn, kind, str(referral_id))
            else:
                payload = {"case_id": str(case_id)}
                await timers.schedule(conn, kind, str(referral_id), at, payload)
        for referral in last.values():
            telemetry.REFERRAL_STATES.labels(referral.state, referral.need).inc()

    async def _tell(self, conn: AsyncConnection, steps: Sequence[_Step]) -> None:
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
        ids = await self.outbox.append(conn, drafts)
        heard = [(key, step) for key, step in zip(ids, steps, strict=True) if step.numbered]
        sequences = await feeds_store.sequences_of(conn, [key for key, _ in heard])
        await feeds_store.save_entries(
            conn, [_entry(key, step, sequences[key]) for key, step in heard]
        )

    # --- What people and systems do -----------------------------------------------------------

    async def act(
        self, conn: AsyncConnection, referral_id: UUID, order: Order, actor: Actor, at: datetime
    ) -> Referral:
        """Do what an actor orders about one referral, in the caller's transaction; return it.

        The same order again is answered with the present state.

        Raises:
            NotFound: none, or not for this actor. Forbidden, Conflict, Stale, InvalidBody: see
                `domain.check`, `planning.release`, `planning.tell`.

        """
        found = await store.find_referral(conn, referral_id)
        if found is None or not _sees(found, actor):
            raise NotFound
        named = order.fields.get("offer_id")
        needs = {found.case_id: {found.need}}
        extra = [name for name in (named, found.suggested) if name is not None]
        world = await self.load(conn, [found.case_id], needs, offers=extra)
        referral = world.referrals[found.case_id][referral_id]
        if not domain.check(referral, order, actor):
            return referral
        case = world.cases[referral.case_id]
        match order.verb:
            case "release":
                done = release(world, case, referral, named, actor.name, at)
            case "told":
                told = Told(how=order.fields["how"], by=actor.name, at=at)
                done = tell(world, case, referral, named, told, actor.name)
            case _:
                done = follow(world, case, referral, order, at)
        await self.save(conn, [(done, Stamp(at, actor.name))])
        if order.text:
            await store.save_remark(
                conn,
                store.Remark(
                    referral_id,
                    referral.provider_id,
                    at,
                    actor.name,
                    order.verb,
                    order.reason,
                    order.text,
                ),
            )
        now = await store.find_referral(conn, referral_id)
        if now is None:
            raise NotFound
        return now

    async def show(self, referral_id: UUID, organisation: str) -> Referral:
        """Read one referral as an organisation may see it.

        Raises:
            NotFound: there is none for this organisation.

        """
        async with transaction(self.web, organisation) as conn:
            found = await store.find_referral(conn, referral_id)
        if found is None:
            raise NotFound
        return found

    # --- What silence does --------------------------------------------------------------------

    async def fall_due(
        self,
        conn: AsyncConnection,
        referral_id: UUID,
        case_id: UUID,
        what: Callable[[World, Case, Referral, datetime], Change],
        stamp: Stamp,
    ) -> None:
        """Do what a deadline of a referral asks for; nothing if it is not due any more."""
        found = await store.find_referral(conn, referral_id)
        if found is None:
            return
        world = await self.load(conn, [case_id], {case_id: {found.need}})
        referral = world.referrals[case_id][referral_id]
        done = what(world, world.cases[case_id], referral, stamp.at)
        await self.save(conn, [(done, stamp)])


@dataclass(frozen=True, slots=True)
class _Step:
    """One event to be told, with who caused it; `numbered` when it has a place in a feed."""

    type: str
    referral: Referral
    stamp: Stamp
    numbered: bool = False


async def _numbered(conn: AsyncConnection, steps: Sequence[_Step]) -> list[_Step]:
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
        referral = domain.change(step.referral, feed_seq=following[name])
        following[name] += 1
        numbered.append(_Step(step.type, referral, step.stamp, numbered=True))
    return numbered


def _entry(event_id: UUID, step: _Step, sequence: int) -> feeds_store.Entry:
    referral = step.referral
    provider, number = str(referral.provider_id), int(referral.feed_seq or 0)
    reader = Actor(Role.PROVIDER_SYSTEM, "feed", provider)
    body = {
        "seq": number,
        "type": step.type,
        "event_id": str(event_id),
        "case_id": str(referral.case_id),
        "sequence": sequence,
        "time": rfc3339(step.stamp.at),
        "referral": domain.shown(referral, reader),
    }
    text = msgspec.json.encode(body).decode()
    return feeds_store.Entry(provider, number, event_id, step.type, referral.referral_id, text)


def _sees(referral: Referral, actor: Actor) -> bool:
    """Whether an actor may know of a referral: the desk of all, a provider of its own."""
    if actor.role in PROVIDERS:
        return referral.heard and referral.provider_id == actor.org
    return actor.role in domain.DESK
