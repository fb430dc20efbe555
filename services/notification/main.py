"""Start notification: `python -m services.notification.main`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.notification import api, operations
from services.notification.callbacks import load_proofs, make_callbacks
from services.notification.consumers import make_cases, make_consumer
from services.notification.deliveries import Deliveries
from services.notification.dispatch import Dispatch
from services.notification.notifiers import Desk, make_notifiers
from services.notification.outbound import Outbound
from services.notification.person_store import blank_notices, erase_again
from services.notification.seal import Sealer
from services.notification.service import Subscriptions
from services.notification.settings import load_settings
from services.notification.webhook_worker import CONNECTIONS
from shared import erasure_list, runtime, telemetry
from shared.clock import now
from shared.erasure import make_blanker
from shared.errors import SettingsError
from shared.events import NOTICES
from shared.http import make_app
from shared.kafka import PROVIDER_TOPICS
from shared.operations.part import make_part_router
from shared.settings import read_key

if TYPE_CHECKING:
    from fastapi import FastAPI

MEASURE = 5.0
"""Seconds between readings of how many subscriptions are dead."""

HOUSE = 3600.0
"""Seconds between deletions of what is too old."""


def build() -> tuple[runtime.Service, FastAPI]:
    """Wire the service in the order it starts.

    Raises:
        SettingsError: a variable, key or notifier name is wrong.

    """
    service = runtime.make_service("notification", owns=(NOTICES, f"{PROVIDER_TOPICS}*"))
    settings = load_settings()
    sealer = Sealer(read_key(service.settings, "seal.key"))
    outbound = Outbound(
        timeout=settings.timeout,
        connections=CONNECTIONS,
        allow_loopback=service.settings.allow_loopback,
        denied=settings.denied,
    )
    desk = Desk(service, settings, sealer, outbound)
    try:
        notifiers = make_notifiers(desk, sorted(service.settings.only))
    except KeyError as error:
        message = f"NOTIFICATION_NOTIFIERS names one that does not exist: {error.args[0]}"
        raise SettingsError(message) from None

    def wake() -> None:
        for notifier in notifiers:
            notifier.wake()

    subscriptions = Subscriptions(
        service.flow, service.web, sealer, outbound, service.settings.kafka, wake
    )
    dispatch = Dispatch(service.flow, service.outbox, settings, service.settings.replica, now)

    telemetry.NOTIFYING.expect()

    async def measure() -> None:
        while True:
            await dispatch.measure()
            telemetry.NOTIFYING.done()
            await asyncio.sleep(MEASURE)

    async def keep_house() -> None:
        while True:
            await subscriptions.forget_old(now())
            await asyncio.sleep(HOUSE)

    async def catch_up() -> None:
        await erasure_list.catch_up(service.flow, erase_again)

    service.checks += [subscriptions.check_key, catch_up]
    service.consumers += [make_consumer(service, one) for one in notifiers if one.topics]
    service.consumers.append(make_cases(service))
    service.timers.append(make_blanker(also=blank_notices))
    service.tasks += [*(notifier.run for notifier in notifiers), measure, keep_house]
    app = make_app(
        service,
        "Pashe notification",
        "Tells providers' systems by webhook and in Kafka what happens to their referrals, and"
        " people what the policy allows; keeps what was told.",
    )
    app.include_router(api.make_router(service, subscriptions))
    app.include_router(api.make_documents(service.settings.public_url))
    deliveries = Deliveries(service.flow, service.outbox, now)
    app.include_router(make_callbacks(service, deliveries, load_proofs()))
    app.include_router(make_part_router(service, operations.look, host=True))
    return service, app


if __name__ == "__main__":
    runtime.main(build)
