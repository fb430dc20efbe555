"""Referral's HTTP interface to routing: what would happen to a case now, and to all of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from services.referral import offers_store, store
from services.referral.api import json_of
from services.referral.directory_bodies import PreviewIn, ReplayIn
from services.referral.explaining import explain, providers_in, read_out
from services.referral.ranking import Policy, PolicyWrong, parse_policy, policy_on
from services.referral.replaying import Wish, replay
from services.referral.routing import route
from services.referral.surroundings import look_around
from services.referral.world import (
    Case,
    Change,
    World,
    areas_to_load,
    may_release,
    question_for,
)
from shared import places
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import read_body
from shared.clock import day_of, now
from shared.database import transaction
from shared.errors import InvalidBody, NotFound
from shared.events import CaseFacts
from shared.vocabulary import Role

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.service import Referrals
    from shared.runtime import Service

_MAY: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)


def make_router(service: Service, referrals: Referrals) -> APIRouter:
    """Make the routes that try routing out; none changes anything."""
    router = APIRouter(prefix="/referral/v1/routing", tags=["routing"])

    @router.post("/preview", response_model=None)
    async def preview(
        request: Request, caller: Annotated[Caller, Depends(require(*_MAY))]
    ) -> Response:
        """Say what routing would decide now for a case or for facts; nothing is changed."""
        body = await read_body(request, PreviewIn)
        at = now()
        policy = _policy(body.policy, at)
        async with transaction(service.web, scope_of(caller, Verb.EXPLAIN, at)) as conn:
            case = await _case_of(conn, body)
            world = World(referrals.rules)
            pairs = {(str(body.need), area) for area in areas_to_load(case.facts)}
            for need, area, offer in await offers_store.find_candidates(conn, pairs):
                world.by_area.setdefault((need, area), []).append(offer.offer_id)
                world.offers[offer.offer_id] = offer
            await look_around(conn, world, [(case.case_id, case.facts, str(body.need))], at)
            question = question_for(case.facts, body.need)
            decision = route(question, world.candidates(question, Change()), at, policy=policy)
            told = explain(decision, question, at)
            names = await offers_store.names_of(conn, providers_in(told))
        terms = world.terms(body.need, at)
        return json_of(
            {
                **told,
                "reads": read_out(told, names),
                "urgency": terms.urgency_for(case.facts.urgency),
                "release": terms.release,
                "released_by_rule": may_release(case, body.need, terms, policy),
            }
        )

    @router.post("/replay", response_model=None)
    async def replay_past(
        request: Request, caller: Annotated[Caller, Depends(require(*_MAY))]
    ) -> StreamingResponse:
        """Decide the last days again under a policy, beside what happened: lines of JSON.

        Each line has an `event`: `start`, `decision` (one that would change, or all), `progress`,
        and `end` with the sums. Closing the connection ends it. Nothing is changed.
        """
        body = await read_body(request, ReplayIn)
        at = now()
        wish = Wish(_policy(body.policy, at), at, body.days, body.need, body.lines)
        lines = replay(service.web, scope_of(caller, Verb.EXPLAIN, at), wish)
        return StreamingResponse(
            lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"}
        )

    return router


def _policy(said: dict[str, Any] | None, at: datetime) -> Policy:
    usual = policy_on(day_of(at))
    if said is None:
        return usual
    try:
        return parse_policy({"version": f"{usual.version} tried", **said}, usual)
    except PolicyWrong as wrong:
        raise InvalidBody(None, errors=[{"field": "policy", "rule": str(wrong)}]) from None


async def _case_of(conn: Any, body: PreviewIn) -> Case:  # noqa: ANN401  (a connection)
    if body.case_id is not None:
        case = await store.find_case(conn, body.case_id)
        if case is None:
            raise NotFound
        return case
    upazila = district = None
    if body.place is not None:
        place = places.find(body.place)
        if place is None:
            raise InvalidBody(None, errors=[{"field": "place", "rule": "unknown-place"}])
        upazila = places.coarse(body.place)
        district = places.district_of(body.place)
    facts = CaseFacts(
        report_id=UUID(int=0),
        channel="helpline",
        age=body.age,
        sex=body.sex,
        upazila=upazila,
        district=district,
        needs=[body.need],
        excluded=list(body.excluded),
        places_needed=body.places_needed,
        languages=list(body.languages),
        support=[str(code) for code in body.support],
        boys_with=list(body.boys_with),
    )
    return Case(UUID(int=0), 0, facts)
