"""`intake.partner`: stores the reports of every partner's topic, each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from services.intake.partners.reading import PATTERN, PartnerReport, Reader
from services.intake.preparing import Message, own_id, prepare, repeat_key
from services.intake.report import ExternalRef
from shared import telemetry
from shared.access import Caller
from shared.consumer import DurableConsumer
from shared.vocabulary import Channel, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.channels import Desk
    from services.intake.submissions import Prepared
    from shared.events import Event
    from shared.outbox import Stamp

NAME: Final = "intake.partner"

EVENT: Final = "cloudevent"
"""The system under which a partner finds a report by the id of its event."""


@dataclass(slots=True)
class Stored:
    """What a batch comes to: submissions to store."""

    prepared: list[Prepared] = field(default_factory=list)


class PartnerHandler:
    """Makes a submission of each event; a repeat of source and id is stored once for ever."""

    def __init__(self, desk: Desk) -> None:
        """Take what channels store with."""
        self._desk = desk

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Want everything: the reader lets nothing else through."""
        del event_type, needs
        return True

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Stored:
        """Read nothing: every report stands alone."""
        del conn, events
        return Stored()

    def decide(self, state: Stored, event: Event, stamp: Stamp) -> None:
        """Make the submission ready, in the partner's name."""
        told: PartnerReport = event.data
        ref = ExternalRef(system=EVENT, value=told.event_id)
        refs = [*told.report.external_refs, ref]
        index = self._desk.secrets.index
        mark = repeat_key(index, "event", told.source, told.event_id)
        state.prepared.append(
            prepare(
                told.report.model_copy(update={"external_refs": refs}),
                channel=Channel.PARTNER,
                caller=Caller("kafka", Role.PARTNER, told.partner),
                vault=self._desk.vault,
                secrets=self._desk.secrets,
                message=Message(f"kafka.{told.partner}", own_id(told.event_id), mark),
                at=stamp.at,
            )
        )

    async def flush(self, conn: AsyncConnection, state: Stored) -> None:
        """Store what is new, with its events."""
        if not state.prepared:
            return
        new = await self._desk.store.insert_in(conn, state.prepared)
        telemetry.SUBMISSIONS_STORED.labels(Channel.PARTNER, "stored").inc(len(new))
        again = len(state.prepared) - len(new)
        telemetry.SUBMISSIONS_STORED.labels(Channel.PARTNER, "repeated").inc(again)


def make_consumers(desk: Desk) -> list[DurableConsumer[Stored]]:
    """Make the consumer of all partners' topics."""
    service = desk.service
    consumer = DurableConsumer(
        NAME,
        (),
        PartnerHandler(desk),
        service.flow,
        guards=True,
        wake_relay=service.waker.wake,
    )
    consumer.read_others(PATTERN, Reader(desk.seals).take_apart)
    return [consumer]
