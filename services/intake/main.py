"""Start intake: `python -m services.intake.main`."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from services.intake import api, channels, daily, figures, operations
from services.intake.alike import api as alike_api
from services.intake.alike.service import Alikes
from services.intake.awareness import api as awareness_api
from services.intake.awareness.messages import Messages
from services.intake.awareness.sending import Sender
from services.intake.awareness.service import Awareness
from services.intake.casework import api as desk_api
from services.intake.casework import (
    api_duty,
    api_errands,
    api_help,
    api_kin,
    api_stages,
    api_ties,
    api_work,
)
from services.intake.casework.consumer import DeskHandler
from services.intake.casework.desk import put_on_desk
from services.intake.casework.digest import Digest
from services.intake.casework.due import Due
from services.intake.casework.families import Families
from services.intake.casework.numbers import Numbers
from services.intake.casework.pager import Pager
from services.intake.casework.service import Casework
from services.intake.casework.shown import Board
from services.intake.casework.stages import Stages
from services.intake.casework.visits import Visits
from services.intake.channels.sms.replies import Replies
from services.intake.committer import Committer
from services.intake.consent import api as consent_api
from services.intake.consent import expiry
from services.intake.consent.service import Consents
from services.intake.consumers import Opener
from services.intake.contacts import api as contacts_api
from services.intake.contacts import workers_api
from services.intake.disclosure import api as disclosure_api
from services.intake.disclosure import api_search
from services.intake.disclosure.look_ups import LookUps
from services.intake.disclosure.search import Search
from services.intake.disclosure.service import Disclosures
from services.intake.erasure import api as erasure_api
from services.intake.erasure import listing
from services.intake.erasure.service import Erasures
from services.intake.keys.providers import provider_from
from services.intake.keys.ring import Ring
from services.intake.keys.rotation import Rotation, check_keys
from services.intake.learning import api as learning_api
from services.intake.learning.service import Learning
from services.intake.media import api as media_api
from services.intake.media.keeping import Keeping
from services.intake.media.opening import Opening
from services.intake.packets import api as packets_api
from services.intake.packets import replies as packet_replies
from services.intake.packets.alerts import Alerts
from services.intake.packets.connectors import connectors_from
from services.intake.packets.service import Packets
from services.intake.pages import awareness as awareness_pages
from services.intake.pages import committee as committee_pages
from services.intake.pages import desk as desk_pages
from services.intake.pages import disclosure as disclosure_pages
from services.intake.pages import learning as learning_pages
from services.intake.pages import team as team_pages
from services.intake.pages.public import main as public
from services.intake.preparing import Secrets
from services.intake.proof_of_work import work_from
from services.intake.reading import read
from services.intake.reporters import api as receipts_api
from services.intake.reporters.service import Reporters
from services.intake.seals import Seals
from services.intake.service import Intake
from services.intake.sign_in import api as sign_in_api
from services.intake.sign_in.service import make_sign_in
from services.intake.submissions import SubmissionStore
from services.intake.teams import api as teams_api
from services.intake.vault import Vault
from shared import erasure_list, runtime
from shared.clock import day_of, now
from shared.consumer import UNHURRIED, DurableConsumer
from shared.erasure import make_blanker
from shared.errors import SettingsError
from shared.events import CASES, NOTICES, REFERRALS, SUBMISSIONS
from shared.http import make_app
from shared.operations.part import make_part_router
from shared.settings import read_key
from shared.sms import load_sms_settings, make_gateway

if TYPE_CHECKING:
    from fastapi import FastAPI

    from services.intake.keys.providers import KeyProvider
    from shared.http import App

SWEEP = 1.0
"""Seconds between looks for submissions that nobody opened."""


async def warm() -> None:
    """Build the reader's indexes before the first message needs them; about a second of CPU."""
    for text in ("সাহায্য চাই ঢাকা", "sahajjo chai dhaka"):
        await asyncio.to_thread(read, text, today=day_of(now()))


@dataclass(frozen=True, slots=True)
class _Ground:
    """What channels and cases share in a process."""

    service: runtime.Service
    provider: KeyProvider
    vault: Vault
    secrets: Secrets
    seals: Seals
    board: Board


def build() -> tuple[runtime.Service, FastAPI]:
    """Wire the service in the order it starts: cases and channels, or those that were chosen.

    Raises:
        SettingsError: a variable, key or channel name is wrong.

    """
    service = runtime.make_service("intake", owns=(SUBMISSIONS, CASES), finds=True)
    settings = service.settings
    provider = provider_from(settings.keys_dir, os.environ)
    seals = Seals(provider_from(settings.keys_dir, os.environ, "seal").load)
    secrets = Secrets(
        pepper=read_key(settings, "pepper.key"),
        index=read_key(settings, "index.key"),
        receipt_seed=read_key(settings, "signing.key"),
        issuer=settings.public_url,
    )
    ground = _Ground(service, provider, Vault(Ring(provider.load)), secrets, seals, Board())
    service.checks.append(lambda: check_keys(service.flow, ground.vault, now()))
    app = make_app(
        service,
        "Pashe intake",
        "Takes reports over every channel and keeps the cases. Who a person is stays here, sealed.",
    )
    try:
        chosen = channels.choose(settings.only)
    except KeyError as error:
        message = f"INTAKE_CHANNELS names a channel that does not exist: {error.args[0]}"
        raise SettingsError(message) from None
    _add_channels(ground, app, chosen)
    if not settings.only or channels.CASES in settings.only:
        _add_cases(ground, app)
    return service, app


def _add_channels(ground: _Ground, app: App, chosen: tuple[str, ...]) -> None:
    """Give the process its channels, and the one committer that they share."""
    service, vault, secrets = ground.service, ground.vault, ground.secrets
    store = SubmissionStore(service.flow, service.outbox)
    committer = Committer(store, service.waker.wake)
    desk = channels.Desk(
        committer.door(),
        store,
        vault,
        secrets,
        Replies(service.flow, vault, secrets, make_gateway(load_sms_settings())),
        work_from(secrets.pepper, lambda: committer.waiting, os.environ),
        ground.board,
        os.environ,
        service,
        ground.seals,
    )
    alone = len(chosen) == len(service.settings.only) == 1
    opened = channels.open_channels(desk, chosen, alone=alone)
    service.consumers += opened.consumers
    if service.settings.only and channels.CASES not in service.settings.only:
        service.checks.append(warm)  # else the first session would wait for it, and be cut off
    service.tasks += [committer.run, partial(ground.board.run, service.flow), *opened.tasks]
    app.fences |= opened.fences
    for router in opened.routers:
        app.include_router(router)
    if "helpline" in chosen:
        app.include_router(desk_pages.make_calls_router(service))
    if "web" in chosen:
        door = replace(desk, committer=committer.door("web"))
        app.include_router(public.make_router(door, Reporters(vault, service.outbox)))


def _add_cases(ground: _Ground, app: App) -> None:
    """Give the process the cases: what opens them, what is due, and the desk's routes."""
    service, vault, secrets = ground.service, ground.vault, ground.secrets
    intake = Intake(service.flow, service.web, service.outbox, vault)
    reporters = Reporters(vault, service.outbox)
    erasures = Erasures(service.outbox)
    numbers, board = Numbers(secrets.pepper), ground.board
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
            pace=UNHURRIED,
            on_parked=put_on_desk(service.outbox),
            wake_relay=service.waker.wake,
        )
    )

    async def sweep() -> None:
        await warm()
        runtime.settle_memory()
        while True:
            if await intake.end_calls(now()) + await intake.open_overdue(now()):
                service.waker.wake()
            await asyncio.sleep(SWEEP)

    async def measure() -> None:
        await figures.watch(service.flow)

    stages, pager = Stages(vault, service.outbox), Pager(service.outbox)
    digest = Digest(service.outbox)
    visits = Visits(stages, pager)
    service.timers += [
        *Due(service.outbox).timers(),
        pager.timer(),
        visits.timer(),
        expiry.make_timer(service.outbox),
        make_blanker(),
        daily.make_timer(erasures),
        digest.timer(),
        figures.make_timer(),
        Rotation(vault, ground.provider).timer(),
    ]

    async def catch_up() -> None:
        await erasure_list.catch_up(service.flow, erasures.again)

    async def keep_list() -> None:
        await listing.keep_list(service.flow)

    service.checks += [
        catch_up,
        lambda: daily.begin(service.flow, now()),
        lambda: digest.begin(service.flow),
        lambda: figures.begin(service.flow, now()),
    ]
    figures.expect()
    disclosures = Disclosures(vault, service.outbox, secrets.index)
    connectors = connectors_from(os.environ)
    packets = Packets(stages, disclosures, secrets.index, connectors)

    async def take_replies() -> None:
        await packet_replies.watch(service, packets)

    service.tasks += [sweep, measure, keep_list, *([take_replies] if connectors else [])]
    look_ups, families = LookUps(secrets.index), Families(stages, secrets.index)
    search = Search(service.outbox, secrets, look_ups)
    learning, handing = Learning(service.flow), learning_api.Pass(service)
    sign_in = make_sign_in(service, learning)
    awareness, messages = Awareness(service.flow), Messages(service.flow)
    if gateway := make_gateway(load_sms_settings()):
        service.tasks.append(Sender(service.flow, numbers, gateway).run)
    rooms = (
        api.make_router(service, intake),
        desk_api.make_task_router(service, Casework(service.outbox)),
        api_duty.make_duty_router(service, numbers, board),
        api_ties.make_tie_router(service),
        api_help.make_help_router(service, board),
        api_stages.make_stage_router(service, stages),
        api_stages.make_plan_router(service, stages),
        api_work.make_reading_router(service, stages),
        api_kin.make_kin_router(service, families),
        alike_api.make_router(service, Alikes(stages, look_ups), families),
        api_kin.make_beyond_router(service, stages, visits),
        receipts_api.make_receipt_router(service, reporters, secrets),
        receipts_api.make_desk_router(service, reporters),
        api_errands.make_giving_router(service, stages),
        media_api.make_keeping_router(service, Keeping(vault, reporters), secrets),
        media_api.make_opening_router(service, Opening(vault, service.outbox, reporters)),
        contacts_api.make_router(service, vault, service.outbox, secrets, numbers),
        workers_api.make_router(service, secrets, numbers),
        consent_api.make_router(service, Consents(vault, service.outbox)),
        disclosure_api.make_router(service, disclosures),
        api_search.make_search_router(service, search),
        packets_api.make_router(service, packets),
        packets_api.make_alert_router(service, Alerts(stages)),
        erasure_api.make_router(service, erasures),
        sign_in_api.make_router(service, sign_in),
        teams_api.make_router(service, sign_in),
        team_pages.make_router(service),
        learning_api.make_router(service, learning, handing),
        learning_pages.make_router(learning, handing),
        awareness_api.make_router(service, awareness),
        awareness_api.make_message_router(service, messages),
        awareness_pages.make_router(awareness, messages, service.settings.public_url),
        disclosure_pages.make_router(service, disclosures),
        committee_pages.make_router(),
        make_part_router(service, operations.look, texts=operations.TEXTS),
        *desk_pages.make_routers(service),
    )
    for router in rooms:
        app.include_router(router)


if __name__ == "__main__":
    runtime.main(build)
