"""What every notifier to people is made of: the handler of its group, and the teller that sends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.notification.contacts import IntakeContacts
from services.notification.deliveries import Deliveries
from services.notification.limits import load_limits
from services.notification.planning import PersonHandler
from services.notification.policy_file import TABLE, parse_policy
from services.notification.sending import Sending
from services.notification.teller import Teller
from services.notification.templates import LANGUAGES, load_templates
from services.notification.words import Words
from shared.access import service_token
from shared.clock import now
from shared.errors import SettingsError
from shared.events import REFERRALS
from shared.settings import read_key
from shared.sms import Asks

if TYPE_CHECKING:
    from services.notification.carrier import Carrier
    from services.notification.notifiers import Desk

LOOK: Final = 1.0
"""Seconds between looks of a notifier that has no way to send: what is given to it is withheld."""


class PersonNotifier:
    """A notifier to people; a module of `notifiers` says by which carrier.

    One that the table names first nowhere plans nothing, so it reads nothing: it sends what others
    give it.
    """

    guards: Final = False

    def __init__(
        self,
        desk: Desk,
        name: str,
        carrier: Carrier | None,
        *,
        topics: tuple[str, ...] = (REFERRALS,),
        handler_type: type[PersonHandler] = PersonHandler,
    ) -> None:
        """Wire the handler and, when there is a carrier, the teller.

        Raises:
            SettingsError: the table, a template or the limits are wrong, or intake's address is
                missing.

        """
        service = desk.service
        templates = load_templates()
        policy = parse_policy(TABLE.read_text("utf-8"), templates.names, LANGUAGES)
        self.name = name
        self.topics = topics if policy.events(name) else ()
        self.handler = handler_type(
            policy, service.outbox, notifier=name, carried=carrier is not None
        )
        exchange = timedelta() if carrier is None else carrier.exchange
        self._sending = Sending(
            service.flow,
            service.outbox,
            name,
            service.settings.replica,
            exchange,
            clock=now,
            limits=load_limits()[name],
            asks=carrier is not None and carrier.asks is not Asks.NOTHING,
        )
        self._teller: Teller | None = None
        if carrier is None:
            return
        intake = service.settings.urls["intake"]
        if not intake:
            raise SettingsError("INTAKE_URL is not set: who may be reached is asked there")
        seed = read_key(service.settings, "signing.key")
        self._teller = Teller(
            sending=self._sending,
            contacts=IntakeContacts(intake, lambda: service_token(seed, "notification")),
            carrier=carrier,
            policy=policy,
            words=Words(templates, service.settings.public_url),
            deliveries=Deliveries(service.flow, service.outbox, now),
            mark=desk.sealer.mark,
            clock=now,
            wake_relay=service.waker.wake,
        )

    def wake(self) -> None:
        """Let the teller look at once."""
        if self._teller is not None:
            self._teller.wake()

    async def run(self) -> None:
        """Send until cancelled; without a carrier withhold what others gave it to send."""
        if self._teller is not None:
            await self._teller.run()
        while True:
            await self._sending.withhold_given()
            await asyncio.sleep(LOOK)
