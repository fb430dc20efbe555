"""The use cases of referral: what a consumer, a timer or a request does, in one transaction each.

One lock order (DECISIONS 14): cases → referrals → offers whose places are counted → other offers →
feeds → timers, each sorted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from services.referral import domain, notes_store, offers_store, store
from services.referral.answers import fall_due, follow
from services.referral.desk import release, tell
from services.referral.referral import Referral, Told
from services.referral.remarks import Remark, save_remark
from services.referral.silence import DUE, next_look
from services.referral.surroundings import look_around
from services.referral.telling import Step, announce, number
from services.referral.world import Case, Change, World, areas_to_load
from shared import telemetry, timers
from shared.access import PROVIDERS
from shared.access_rules import Verb, decide, matter_of, scope_of
from shared.clock import now
from shared.database import transaction
from shared.errors import Conflict, NotFound
from shared.outbox import Stamp
from shared.vocabulary import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.referral.domain import Actor, Order
    from services.referral.remarks import RemarkSeal
    from services.referral.rules import Rule
    from shared.access import Caller
    from shared.events import CaseFacts
    from shared.outbox import Outbox


_REPLANNING: Final = frozenset({"decline", "deliver", "release"})
"""Orders after which a need may be routed again."""


class Referrals:
    """Loads and locks what decisions need, and stores what they changed."""

    def __init__(
        self,
        flow: AsyncEngine,
        web: AsyncEngine,
        outbox: Outbox,
        rules: Mapping[str, Rule],
        seal: RemarkSeal,
    ) -> None:
        """Take both engines, the outbox, the rules of all needs, and what seals texts."""
        self.flow = flow
        self.web = web
        self.outbox = outbox
        self.rules = rules
        self._seal = seal

    # --- Loading and saving -----------------------------------------------------------------

    async def load(
        self,
        conn: AsyncConnection,
        cases: Collection[UUID],
        needs: Mapping[UUID, Iterable[str]],
        told: Iterable[tuple[UUID, CaseFacts]] = (),
        offers: Iterable[str] = (),
        *,
        new: Mapping[UUID, Case] | None = None,
        widen: bool = True,
    ) -> World:
        """Lock these cases with their referrals, and read the offers for these needs of each.

        `told` are further facts that decisions may go by; `offers` further offers to read; `new`
        are those of the cases that this transaction made, so that nothing is to be locked of them.
        Where nobody covers the place, offers of wider areas are read too, if `widen`.
        """
        world = World(self.rules, cases=dict(new or {}))
        old = set(cases) - world.cases.keys()
        if old:
            found = await store.lock_cases(conn, old)
            world.cases |= found
            world.referrals = await store.lock_referrals(conn, list(found))
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
        if widen:
            asked = [(key, known, need) for key, known in facts for need in needs.get(key, ())]
            await look_around(conn, world, asked, now())
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

    async def save(
        self, conn: AsyncConnection, world: World, made: Sequence[tuple[Change, Stamp]]
    ) -> None:
        """Store what decisions changed, in their order, with events, feed entries and timers."""
        steps = [Step(h.type, h.referral, stamp) for done, stamp in made for h in done.happenings]
        places: Counter[str] = Counter()
        loads: Counter[str] = Counter()
        explanations: dict[UUID, dict[str, Any]] = {}
        for done, _ in made:
            places.update(done.places)
            loads.update(done.loads)
            explanations |= done.explanations
        cases = {done.case.case_id: done.case for done, _ in made if done.case is not None}
        await offers_store.move_places(conn, places, loads)
        steps = await number(conn, steps)
        await announce(conn, self.outbox, steps)
        store.save_cases(conn, list(cases.values()))
        last = {key: referral for done, _ in made for key, referral in done.referrals.items()}
        last |= {step.referral.referral_id: step.referral for step in steps}
        store.save_referrals(conn, list(last.values()))
        notes_store.save_explanations(conn, explanations)
        await _set_timers(conn, world, made)
        _count(steps)

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
        onward = order.fields.get("need") if order.verb == "refer-onward" else None
        needs = {found.case_id: {found.need} | ({onward} if onward else set())}
        extra = [name for name in (named, found.suggested) if name is not None]
        widen = order.verb in _REPLANNING
        world = await self.load(conn, [found.case_id], needs, offers=extra, widen=widen)
        referral = world.referrals[found.case_id][referral_id]
        if not domain.check(referral, order, actor):
            return referral
        try:
            done = _done(world, referral, order, actor, at)
        except Conflict as refused:  # whoever refused it: it says the state, and who holds it
            refused.members = domain.held(referral, actor) | refused.members
            raise
        await self.save(conn, world, [(done, Stamp(at, actor.name))])
        if order.text:
            sealed = self._seal.close(referral_id, order.text)
            told = (referral.provider_id, at, actor.name, order.verb, order.reason, sealed)
            await save_remark(conn, Remark(referral_id, *told))
        after = await store.find_referral(conn, referral_id)
        if after is None:
            raise NotFound
        return after

    async def show(self, referral_id: UUID, caller: Caller, at: datetime) -> Referral:
        """Read one referral, if the caller may see it.

        Raises:
            NotFound: there is none for this caller.

        """
        async with transaction(self.web, scope_of(caller, Verb.REFERRAL, at)) as conn:
            found = await store.find_referral(conn, referral_id)
        if found is None:
            raise NotFound
        return found

    async def must(
        self, conn: AsyncConnection, referral_id: UUID, caller: Caller, verb: Verb, at: datetime
    ) -> None:
        """Lock the case of a referral, and refuse whoever may not do this with it.

        Raises:
            NotFound: there is no such referral, or not for this caller; it is not told which.

        """
        found = await store.find_referral(conn, referral_id)
        if found is None:
            raise NotFound
        cases = await store.lock_cases(conn, [found.case_id])
        kinds = await offers_store.kinds_of_provider(conn, found.provider_id)
        seen = found.provider_id if found.heard else None
        case = cases.get(found.case_id)
        facts = case.facts if case is not None else None
        if not decide(caller, verb, matter_of(facts, provider=seen, provider_kinds=kinds), at):
            raise NotFound

    # --- What silence does --------------------------------------------------------------------

    async def fall_due(
        self, conn: AsyncConnection, referral_id: UUID, case_id: UUID, stamp: Stamp
    ) -> None:
        """Do what is due of a referral at `stamp.at`; nothing if it is not due any more."""
        found = await store.find_referral(conn, referral_id)
        if found is None:
            return
        world = await self.load(conn, [case_id], {case_id: {found.need}})
        referral = world.referrals[case_id][referral_id]
        done = fall_due(world, world.cases[case_id], referral, stamp.at)
        await self.save(conn, world, [(done, stamp)])


def _done(world: World, referral: Referral, order: Order, actor: Actor, at: datetime) -> Change:
    """Decide what a checked order comes to."""
    case, named = world.cases[referral.case_id], order.fields.get("offer_id")
    match order.verb:
        case "release":
            return release(world, case, referral, named, actor.name, at)
        case "told":
            given = order.fields
            told_at = min(given.get("at") or at, at)
            word = Told(how=given["how"], by=given.get("by") or actor.name, at=told_at)
            return tell(world, case, referral, named, word, name=actor.name, at=at)
    return follow(world, case, referral, order, at)


async def _set_timers(
    conn: AsyncConnection, world: World, made: Sequence[tuple[Change, Stamp]]
) -> None:
    """Set the one timer of each referral that changed or was looked at, or take it back."""
    looks: dict[UUID, tuple[Referral, datetime]] = {}
    for done, stamp in made:
        seen = done.looked | done.referrals
        looks |= {key: (referral, stamp.at) for key, referral in seen.items()}
    due: dict[str, tuple[datetime, dict[str, str]]] = {}
    for referral, at in looks.values():
        look = next_look(referral, world.terms(referral.need, at), at)
        if look is not None:
            due[str(referral.referral_id)] = (look, {"case_id": str(referral.case_id)})
    latest = max((at for _, at in looks.values()), default=None)
    await timers.schedule_many(conn, DUE, due, set_at=latest)
    await timers.cancel_many(conn, DUE, {str(key) for key in looks} - due.keys())


_UNMOVED: Final = frozenset(
    {
        "referral-released",
        "referral-escalated",
        "first-contact-made",
        "milestone-reached",
        "appointment-changed",
        "referred-onward",
        "withdrawal-acknowledged",
    }
)
"""Events after which a referral is in the state in which it was."""


def _count(steps: Iterable[Step]) -> None:
    """Count the states that referrals reached, and whom their silence was told."""
    for step in steps:
        referral = step.referral
        told = referral.escalation
        if step.type == "referral-escalated" and told is not None:
            telemetry.ESCALATIONS.labels(told.silence, told.to).inc()
        elif step.type not in _UNMOVED:
            _count_state(referral, step.type)


def _count_state(referral: Referral, event: str) -> None:
    """Count that a referral reached its state; test traffic counts nowhere (SAFETY 30)."""
    if referral.test:
        return
    state = referral.state
    telemetry.REFERRAL_STATES.labels(state, referral.need).inc()
    telemetry.REFERRALS_BY_URGENCY.labels(state, referral.urgency).inc()
    division = telemetry.division_of(referral.summary.place_now)
    telemetry.REFERRALS_BY_DIVISION.labels(state, division).inc()
    if event == "referral-declined":
        known = referral.reason if referral.reason in _REASONS else Reason.OTHER
        telemetry.DECLINED.labels(known).inc()


_REASONS: Final = frozenset(Reason)


def _sees(referral: Referral, actor: Actor) -> bool:
    """Whether an actor may know of a referral: the desk of all, a provider of its own."""
    if actor.role in PROVIDERS:
        return referral.heard and referral.provider_id == actor.org
    return actor.role in domain.DESK
