"""Start intake: `python -m services.intake.main`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from services.intake import api, channels, daily
from services.intake.casework import api as desk_api
from services.intake.casework import api_help, api_kin, api_stages, api_work
from services.intake.casework.consumer import DeskHandler
from services.intake.casework.desk import put_on_desk
from services.intake.casework.due import Due
from services.intake.casework.families import Families
from services.intake.casework.pager import Pager
from services.intake.casework.service import Casework
from services.intake.casework.stages import Stages
from services.intake.casework.visits import Visits
from services.intake.channels.sms.replies import Replies
from services.intake.committer import Committer
from services.intake.consent import api as consent_api
from services.intake.consent import expiry
from services.intake.consent.service import Consents
from services.intake.consumers import Opener
from services.intake.contacts import api as contacts_api
from services.intake.disclosure import api as disclosure_api
from services.intake.disclosure.service import Disclosures
from services.intake.erasure import api as erasure_api
from services.intake.erasure import listing
from services.intake.erasure.service import Erasures
from services.intake.keys.providers import provider_from
from services.intake.keys.ring import Ring
from services.intake.keys.rotation import Rotation, check_keys
from services.intake.preparing import Secrets
from services.intake.reading import read
from services.intake.reporters import api as receipts_api
from services.intake.reporters.service import Reporters
from services.intake.service import Intake
from services.intake.sign_in import api as sign_in_api
from services.intake.sign_in.service import make_sign_in
from services.intake.submissions import SubmissionStore
from services.intake.vault import Vault
from services.intake.work import work_from
from shared import erasure_list, runtime
from shared.clock import now
from shared.consumer import DurableConsumer
from shared.erasure import make_blanker
from shared.errors import SettingsError
from shared.events import CASES, NOTICES, REFERRALS, SUBMISSIONS
from shared.http import make_app
from shared.settings import read_key
from shared.sms import load_sms_settings, make_gateway

if TYPE_CHECKING:
    from fastapi import FastAPI

SWEEP = 1.0
"""Seconds between looks for submissions that nobody opened."""

MEASURE = 5.0
"""Seconds between readings of what waits for a person."""


async def warm() -> None:
    """Build the reader's indexes before the first message needs them; about a second of CPU."""
    for text in ("সাহায্য চাই ঢাকা", "sahajjo chai dhaka"):
        await asyncio.to_thread(read, text, today=now().date())


def build() -> tuple[runtime.Service, FastAPI]:
    """Wire the service in the order it starts.

    Raises:
        SettingsError: a variable, key or channel name is wrong.

    """
    service = runtime.make_service("intake", owns=(SUBMISSIONS, CASES))
    settings = service.settings
    provider = provider_from(settings.keys_dir, os.environ)
    vault = Vault(Ring(provider.load))
    secrets = Secrets(
        pepper=read_key(settings, "pepper.key"),
        index=read_key(settings, "index.key"),
        receipt_seed=read_key(settings, "signing.key"),
        issuer=settings.public_url,
    )
    store = SubmissionStore(service.flow, service.outbox)
    committer = Committer(store, service.waker.wake)
    intake = Intake(service.flow, service.web, service.outbox, vault)
    reporters = Reporters(vault, service.outbox)
    erasures = Erasures(service.outbox)
    replies = Replies(service.flow, vault, secrets, make_gateway(load_sms_settings()))
    service.consumers.append(
        DurableConsumer(
            "intake.opener",
            (SUBMISSIONS,),
            Opener(intake, vault),
            service.flow,
            guards=True,
            on_parked=put_on_desk(service.outbox),
            wake_relay=service.waker.wake,
        )
    )
    service.consumers.append(
        DurableConsumer(
            "intake.desk",
            (REFERRALS, NOTICES, CASES),
            DeskHandler(service.outbox),
            service.flow,
            guards=True,
            on_parked=put_on_desk(service.outbox),
            wake_relay=service.waker.wake,
        )
    )

    async def sweep() -> None:
        await warm()
        runtime.settle_memory()
        while True:
            if await intake.open_overdue(now()):
                service.waker.wake()
            await asyncio.sleep(SWEEP)

    async def measure() -> None:
        while True:
            await intake.measure(now())
            await asyncio.sleep(MEASURE)

    stages, pager = Stages(vault, service.outbox), Pager(service.outbox)
    visits = Visits(stages, pager)
    service.timers += [
        *Due(service.outbox).timers(),
        pager.timer(),
        visits.timer(),
        expiry.make_timer(service.outbox),
        make_blanker(),
        daily.make_timer(erasures),
        Rotation(vault, provider).timer(),
    ]
    service.checks.append(lambda: check_keys(service.flow, vault, now()))

    async def catch_up() -> None:
        await erasure_list.catch_up(service.flow, erasures.again)

    async def keep_list() -> None:
        await listing.keep_list(service.flow)

    service.checks += [catch_up, lambda: daily.begin(service.flow, now())]
    service.tasks += [committer.run, sweep, replies.run, measure, keep_list]
    app = make_app(
        service,
        "Pashe intake",
        "Takes reports over every channel and keeps the cases. Who a person is stays here, sealed.",
    )
    try:
        routers = channels.routers(
            channels.Desk(
                committer,
                store,
                vault,
                secrets,
                replies,
                work_from(secrets.pepper, lambda: committer.waiting, os.environ),
                service,
                reporters,
                os.environ,
            ),
            sorted(settings.only),
        )
    except KeyError as error:
        message = f"INTAKE_CHANNELS names a channel that does not exist: {error.args[0]}"
        raise SettingsError(message) from None
    disclosures = Disclosures(vault, service.outbox, secrets.index)
    rooms = (
        api.make_router(service, intake),
        desk_api.make_task_router(service, Casework(service.outbox)),
        desk_api.make_duty_router(service),
        api_help.make_help_router(service),
        api_stages.make_stage_router(service, stages),
        api_stages.make_plan_router(service, stages),
        api_work.make_reading_router(service, stages),
        api_kin.make_kin_router(service, Families(stages, secrets.index)),
        api_kin.make_beyond_router(service, stages, visits),
        receipts_api.make_receipt_router(service, reporters, secrets),
        receipts_api.make_desk_router(service, reporters),
        contacts_api.make_router(service, vault, service.outbox, secrets),
        consent_api.make_router(service, Consents(vault, service.outbox)),
        disclosure_api.make_router(service, disclosures),
        erasure_api.make_router(service, erasures),
        sign_in_api.make_router(service, make_sign_in(service)),
    )
    for router in (*routers, *rooms):
        app.include_router(router)
    return service, app


if __name__ == "__main__":
    runtime.main(build)
