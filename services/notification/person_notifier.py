"""What every notifier to people is made of: the handler of its group, and the teller that sends."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.notification.contacts import IntakeContacts
from services.notification.crew import Crew
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
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.notification.carrier import Carrier
    from services.notification.notifiers import Desk

LOOK: Final = timedelta(seconds=1)
"""Time between looks of a notifier that has no way to send."""

_log = Log("withholder")


class Withholder(Crew):
    """Serves a notifier that has no way to send: what is given to it is withheld.

    What it had in flight when it still had one is unknown, as after any death.
    """

    def __init__(self, sending: Sending, wake_relay: Callable[[], None]) -> None:
        """Take what claims and settles, and what a commit wakes."""
        super().__init__(_log, wake_relay, chores=LOOK, grace=timedelta())
        self._sending = sending
        self._wake = wake_relay

    async def free_mine(self) -> None:
        """Free what waits; what this replica had in flight is unknown."""
        await self._sending.free_mine()

    async def fill(self) -> None:
        """Begin nothing."""

    async def do_chores(self) -> None:
        """Give up what dead replicas left in flight, and withhold what waits."""
        await self._sending.give_up()
        if await self._sending.withhold_given():
            self._wake()


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
            self._withholder = Withholder(self._sending, service.waker.wake)
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
        await (self._teller or self._withholder).run()
