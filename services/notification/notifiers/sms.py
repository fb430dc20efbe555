"""`notification.sms`: tells persons by SMS what the policy allows, neutrally and once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.notification import person_store
from services.notification.contacts import IntakeContacts
from services.notification.domain import NoticeId, NoticeState
from services.notification.facts import person_draft
from services.notification.person_store import PersonNotice
from services.notification.policy import Reason, parse_policy, plan
from services.notification.sending import WINDOW, Sending
from services.notification.sms_worker import SmsWorker
from services.notification.templates import LANGUAGES, load_templates
from shared import telemetry
from shared.access import service_token
from shared.clock import new_event_id, now
from shared.errors import RecordInvalid, SettingsError
from shared.events import REFERRALS
from shared.settings import read_key
from shared.sms import load_sms_settings, make_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.notifiers import Desk, Notifier
    from services.notification.policy import Policy
    from shared.events import CaseFacts, Draft, Event, ReferralFacts
    from shared.outbox import Outbox, Stamp

SMS: Final = "sms"
"""The notifier's name: its group is `notification.sms`."""

TABLE: Final = Path(__file__).parents[1] / "policy.toml"


@dataclass(slots=True)
class Planning:
    """One batch: what is to be told, and what is withheld already."""

    notices: list[PersonNotice] = field(default_factory=list)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)


class SmsHandler:
    """Plans a notice for each recipient that the table names at an event."""

    def __init__(
        self,
        policy: Policy,
        outbox: Outbox,
        *,
        notifier: str = SMS,
        gateway: bool,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the table, the outbox, who sends, whether there is a gateway at all, the clock."""
        self._policy = policy
        self._events = policy.events()
        self._outbox = outbox
        self._notifier = notifier
        self._gateway = gateway
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about the events that a row of the table names."""
        del needs
        return event_type in self._events

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Planning:
        """Read nothing: whether and how a person may be reached is asked at the time of sending."""
        del conn, events
        return Planning()

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Decide who is to be told, and who is not and why."""
        facts: ReferralFacts | CaseFacts = event.data
        try:
            case_id = UUID(event.subject)
        except ValueError:
            raise RecordInvalid("invalid-subject", "its subject is a case id") from None
        for planned in plan(
            self._policy, event.type, facts.urgency, event.time, stamp.at, test=facts.test
        ):
            reason = planned.reason
            if reason is None and not self._gateway:
                reason = Reason.NO_GATEWAY
            notice = PersonNotice(
                id=NoticeId(new_event_id()),
                notifier=self._notifier,
                recipient=planned.recipient,
                case_id=case_id,
                referral_id=getattr(facts, "referral_id", None),
                event_id=event.id,
                type=event.type,
                happened_at=event.time,
                template=planned.template,
                state=NoticeState.WITHHELD if reason else NoticeState.WAITING,
                useful_until=planned.useful_until,
                test=facts.test,
                reason=str(reason) if reason else None,
                traceparent=stamp.traceparent or event.traceparent,
            )
            state.notices.append(notice)
            if reason:
                state.drafts.append((person_draft(notice), stamp))

    async def flush(self, conn: AsyncConnection, state: Planning) -> None:
        """Store the notices, with the events of those that are withheld."""
        if not state.notices:
            return
        await person_store.insert(conn, state.notices, self._clock())
        await self._outbox.append(conn, state.drafts)
        if state.drafts:
            telemetry.NOTICES.labels(self._notifier, str(NoticeState.WITHHELD)).inc(
                len(state.drafts)
            )


class SmsNotifier:
    """The notifier: the handler of its group, and the worker that sends."""

    name = SMS
    topics: tuple[str, ...] = (REFERRALS,)
    guards: Final = False
    window = WINDOW
    handler_type = SmsHandler

    def __init__(self, desk: Desk) -> None:
        """Wire the handler and, when there is a gateway, the worker.

        Raises:
            SettingsError: the gateway, the table or a template is wrong, or intake's address is
                missing.

        """
        service = desk.service
        templates = load_templates()
        policy = parse_policy(TABLE.read_text("utf-8"), templates.names, LANGUAGES)
        settings = load_sms_settings()
        gateway = make_gateway(settings)
        self.handler = self.handler_type(
            policy, service.outbox, notifier=self.name, gateway=gateway is not None
        )
        self._worker: SmsWorker | None = None
        if gateway is None:
            return
        intake = service.settings.urls["intake"]
        if not intake:
            raise SettingsError("INTAKE_URL is not set: who may be reached is asked there")
        seed = read_key(service.settings, "signing.key")
        self._worker = SmsWorker(
            sending=Sending(
                service.flow,
                service.outbox,
                self.name,
                service.settings.replica,
                gateway.exchange,
                clock=now,
                window=self.window,
            ),
            contacts=IntakeContacts(intake, lambda: service_token(seed, "notification")),
            gateway=gateway,
            policy=policy,
            templates=templates,
            mark=desk.sealer.mark,
            clock=now,
            wake_relay=service.waker.wake,
        )

    def wake(self) -> None:
        """Let the worker look at once."""
        if self._worker is not None:
            self._worker.wake()

    async def run(self) -> None:
        """Send until cancelled; without a gateway there is nothing to do."""
        if self._worker is None:
            await asyncio.Event().wait()
        else:
            await self._worker.run()


def make_notifier(desk: Desk) -> Notifier:
    """Make the SMS notifier."""
    return SmsNotifier(desk)
