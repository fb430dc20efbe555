"""Tellers of one notifier in this process, with gateway and intake on loopback, and their death.

The clock is the test's own: what waits is not waited for.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from services.notification import person_store
from services.notification.carrier import BySms
from services.notification.contacts import IntakeContacts
from services.notification.deliveries import Deliveries
from services.notification.domain import NoticeId, NoticeState
from services.notification.limits import Limits, load_limits
from services.notification.person_store import PersonNotice
from services.notification.policy import Recipient
from services.notification.policy_file import TABLE, parse_policy
from services.notification.seal import Sealer
from services.notification.sending import Sending
from services.notification.teller import Teller
from services.notification.templates import LANGUAGES, load_templates
from services.notification.words import Words
from shared.access import service_token
from shared.clock import new_event_id
from shared.outbox import Outbox
from shared.signing import Signer
from shared.sms import Asks
from shared.sms.external import External, ExternalSettings
from tests.support.dying import dying
from tests.support.wait import differences, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from shared.sms import Gateway as SmsGateway
    from tests.support.phones import Desk, Gateway

__all__ = ["PATIENT", "SHORT", "TEMPLATES", "TLS", "Trial", "dying", "live"]

TLS = ssl.create_default_context()
"""One for every gateway: making it takes longer than a send."""

TEMPLATES = load_templates()

PATIENT = timedelta(seconds=30)
"""What a gateway that answers may take: never the reason why a notice is unknown."""

SHORT = timedelta(seconds=1.5)
"""How long one that hangs by design is waited for; a busy machine asks it well within that."""


KINDS = {
    "news": ("referral-accepted", Recipient.PERSON),
    "how_are_you": ("service-delivered", Recipient.PERSON),
    "answer_asked": ("referral-assigned", Recipient.PROVIDER),
}
"""At which event, and to whom, each template goes."""


async def live(teller: Teller) -> None:
    """Live through the telling of one notice, if one is due."""
    for job in await teller._sending.claim(1):
        await teller._tell(job)


def make_external(url: str, patience: timedelta) -> SmsGateway:
    return External(ExternalSettings(f"{url}/send", timeout=patience), TLS)


@dataclass(slots=True)
class Trial:
    """Workers of one notifier on one database, with a gateway and an intake on loopback."""

    engine: AsyncEngine
    gateway: Gateway
    desk: Desk
    notifier: str = "sms"
    patience: timedelta = PATIENT
    limits: Limits = load_limits()["sms"]
    make: Callable[[str, timedelta], SmsGateway] = make_external
    at: timedelta = timedelta()
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    workers: list[Teller] = field(default_factory=list)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.at

    def start(self, holder: str, gateway: str = "") -> asyncio.Task[None]:
        """Start a worker; more than one are replicas."""
        worker = self.teller(holder, gateway)
        task = asyncio.create_task(worker.run())
        self.tasks.append(task)
        self.workers.append(worker)
        return task

    def teller(self, holder: str, gateway: str = "") -> Teller:
        """Make a worker that does nothing yet."""
        outbox = Outbox("notification", Signer(b"s" * 32))
        carrier = BySms(self.make(gateway or self.gateway.url, self.patience))
        return Teller(
            sending=Sending(
                self.engine,
                outbox,
                self.notifier,
                holder,
                self.patience,
                clock=self.clock,
                limits=self.limits,
                asks=carrier.asks is not Asks.NOTHING,
            ),
            contacts=IntakeContacts(
                self.desk.url, lambda: service_token(b"s" * 32, "notification"), timeout=20
            ),
            carrier=carrier,
            policy=parse_policy(TABLE.read_text("utf-8"), TEMPLATES.names, LANGUAGES),
            words=Words(TEMPLATES, "https://centre.example.org"),
            deliveries=Deliveries(self.engine, outbox, self.clock),
            mark=Sealer(b"k" * 32).mark,
            clock=self.clock,
            wake_relay=lambda: None,
        )

    async def add(self, *cases: str, template: str = "news") -> list[str]:
        """Plan a notice for each case; return their ids."""
        happened = datetime.now(UTC)
        event, recipient = KINDS[template]
        notices = [
            PersonNotice(
                id=NoticeId(new_event_id()),
                notifier=self.notifier,
                recipient=recipient,
                case_id=UUID(case),
                referral_id=uuid4(),
                event_id=uuid4(),
                type=event,
                happened_at=happened,
                template=template,
                state=NoticeState.WAITING,
                useful_until=happened + timedelta(days=7),
                test=False,
            )
            for case in cases
        ]
        async with self.engine.begin() as conn:
            await person_store.insert(conn, notices, happened)
        for worker in self.workers:
            worker.wake()
        return [str(notice.id) for notice in notices]

    async def states(self, *ids: str) -> list[tuple[str, str | None, int]]:
        """Return state, reason and attempts of these notices."""
        async with self.engine.connect() as conn:
            rows = await conn.exec_driver_sql(
                "SELECT notice_id::text AS id, state, reason, attempt FROM person_notices"
                " WHERE notifier = $1",
                (self.notifier,),
            )
            found = {row.id: (row.state, row.reason, row.attempt) for row in rows}
        return [found[one] for one in ids]

    async def become(self, ids: list[str], *states: tuple[str, str | None, int]) -> None:
        async def look() -> bool:
            now = await self.states(*ids)
            assert now == list(states), differences(now, states)
            return True

        await eventually(look, 60, f"the states of {len(ids)} notices")

    async def skip_pause(self) -> None:
        """Set the clock to when a notice that was put off is due; a notice in hand keeps its lease.

        A clock that only ran faster would let leases run out under a busy machine's sends.
        """
        async with self.engine.connect() as conn:
            rows = await conn.exec_driver_sql(
                "SELECT min(due_at) FROM person_notices WHERE notifier = $1"
                " HAVING bool_and(state <> 'in_flight' AND lease IS NULL)",
                (self.notifier,),
            )
            due = rows.scalar()
        if due is not None:
            self.at += max(due - self.clock(), timedelta())
