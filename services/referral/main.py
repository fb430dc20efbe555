"""Start referral: `python -m services.referral.main`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.referral import (
    api,
    api_directory,
    api_links,
    api_routing,
    freshness,
    funnel,
    operations,
    stream,
)
from services.referral.consumers import CaseProjection, NeedRule
from services.referral.deadlines import make_timers
from services.referral.erasure_store import erase_again
from services.referral.exchange import api_fhir
from services.referral.exchange.hsds import api as api_hsds
from services.referral.links import LinkSigner
from services.referral.pages.desk import routes as desk_pages
from services.referral.pages.near import api as near
from services.referral.pages.provider.api import make_router as make_provider_router
from services.referral.records_store import refresh_records
from services.referral.remarks import RemarkSeal
from services.referral.rules import load_rules
from services.referral.service import Referrals
from services.referral.sms_answers import SmsAnswers
from shared import erasure_list, runtime, telemetry
from shared.clock import now
from shared.consumer import UNHURRIED, DurableConsumer
from shared.erasure import make_blanker
from shared.errors import SettingsError
from shared.events import CASES, DIRECTORY, REFERRALS, SUBMISSIONS
from shared.http import make_app
from shared.operations.part import make_part_router
from shared.parked import tell_of_parked
from shared.settings import read_key

if TYPE_CHECKING:
    from fastapi import FastAPI

    from services.referral.rules import Rule

PROJECTION: Final = "cases"
"""The name in `REFERRAL_RULES` of the consumers that are no rule: the projection of cases, and the
answers of providers by SMS."""

COUNT_EVERY: Final = 5.0
"""Seconds between two measures of the funnel."""

RECORDS_EVERY: Final = 600.0
"""Seconds between two counts of how offers did."""


def build() -> tuple[runtime.Service, FastAPI]:
    """Wire the service in the order it starts.

    Raises:
        SettingsError: a variable, key or rule name is wrong.

    """
    service = runtime.make_service("referral", owns=(REFERRALS, DIRECTORY), flow_size=16)
    rules = _load_rules(os.environ.get("REFERRAL_CLOCKS", ""))
    only = service.settings.only
    unknown = only - rules.keys() - {PROJECTION}
    if unknown:
        message = f"REFERRAL_RULES names a rule that does not exist: {min(unknown)}"
        raise SettingsError(message)
    seal = RemarkSeal(read_key(service.settings, "seal.key"))
    referrals = Referrals(service.flow, service.web, service.outbox, rules, seal)
    if not only or PROJECTION in only:
        service.consumers.append(
            DurableConsumer(
                "referral.cases",
                (CASES,),
                CaseProjection(referrals),
                service.flow,
                guards=True,
                pace=UNHURRIED,
                on_parked=tell_of_parked(service.outbox, REFERRALS),
                wake_relay=service.waker.wake,
            )
        )
        service.consumers.append(
            DurableConsumer(
                "referral.answers",
                (SUBMISSIONS,),
                SmsAnswers(referrals),
                service.flow,
                pace=UNHURRIED,
                on_parked=tell_of_parked(service.outbox, REFERRALS),
                wake_relay=service.waker.wake,
            )
        )
    for need in sorted(only - {PROJECTION} if only else rules.keys()):
        service.consumers.append(
            DurableConsumer(
                f"referral.rule.{need}",
                (CASES,),
                NeedRule(referrals, need),
                service.flow,
                on_parked=tell_of_parked(service.outbox, REFERRALS),
                wake_relay=service.waker.wake,
            )
        )

    async def catch_up() -> None:
        await erasure_list.catch_up(service.flow, erase_again)

    service.checks.append(catch_up)
    service.timers += [*make_timers(referrals, now), make_blanker()]
    service.timers.append(freshness.make_timer(service.outbox, now))
    bell = stream.Bell(service.settings.database_url, "outbox_referral")
    service.waker.hear = bell.ring

    telemetry.FUNNEL.expect()

    async def count() -> None:
        while True:
            async with service.flow.connect() as conn:
                await funnel.measure(conn, now())
            await asyncio.sleep(COUNT_EVERY)

    async def remember() -> None:
        while True:
            async with service.flow.begin() as conn:
                await refresh_records(conn, now())
            await asyncio.sleep(RECORDS_EVERY)

    service.tasks += [bell.run, count, remember]
    app = make_app(
        service,
        "Pashe referral",
        "Says who can help, makes the offer, and follows every referral until it is delivered.",
    )
    app.include_router(api.make_router(service, referrals, bell))
    app.include_router(api_directory.make_router(service))
    app.include_router(near.make_router(service))
    app.include_router(api_routing.make_router(service, referrals))
    links = api_links.Links(referrals, LinkSigner(read_key(service.settings, "seal.key")))
    app.include_router(api_links.make_router(service, links))
    app.include_router(api_fhir.make_router(service, referrals))
    app.include_router(api_hsds.make_router(service))
    app.include_router(make_provider_router(service, referrals))
    app.include_router(make_part_router(service, operations.look))
    app.include_router(desk_pages.make_router(service))
    return service, app


def _load_rules(clocks: str) -> dict[str, Rule]:
    """Load the rules of all needs; `REFERRAL_CLOCKS` may name a file of a centre's own clocks."""
    try:
        return load_rules(changes=Path(clocks) if clocks else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        if not clocks:
            raise
        message = "REFERRAL_CLOCKS names no file of clocks"
        raise SettingsError(message) from None


if __name__ == "__main__":
    runtime.main(build)
