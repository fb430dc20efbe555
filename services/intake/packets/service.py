"""Use cases of packets: made under a consent, answered, and numbers of other offices."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from services.intake import store as cases
from services.intake.casework import handover
from services.intake.casework.course import Done, told
from services.intake.casework.stages import Asked, Entry
from services.intake.casework.steps import steps_of
from services.intake.packets import store
from services.intake.packets.fhir_out import make_fhir
from services.intake.packets.htcds_out import make_csv, make_json
from services.intake.packets.packet import Packet
from services.intake.packets.pdf_out import make_pdf
from services.intake.packets.primero_out import make_primero
from services.intake.preparing import external_mark
from services.intake.reporters.store import sealed_of
from shared.errors import Conflict, NotFound, Unavailable
from shared.events import DataRead, Step
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Stages
    from services.intake.disclosure.service import Disclosures
    from services.intake.disclosure.store import Known
    from services.intake.packets.connectors import Connector
    from services.intake.packets.packet import Made
    from shared.events import CaseFacts

_MAKERS: Final[Mapping[str, Callable[[Packet], Made]]] = {
    "htcds-csv": make_csv,
    "htcds-json": make_json,
    "primero": make_primero,
    "fhir": make_fhir,
    "pdf": make_pdf,
}
REFERENCE: Final = "reference"
DOWNLOAD: Final = "download"
DROP: Final = "drop"


@dataclass(frozen=True, slots=True)
class Packets:
    """What somebody of the desk does with packets, inside the caller's transaction."""

    stages: Stages
    disclosures: Disclosures
    index_key: bytes
    connectors: Mapping[str, Connector] = field(default_factory=dict)

    async def make(
        self, conn: AsyncConnection, asked: Asked, to: str, form: str, *, drop: bool = False
    ) -> tuple[UUID, Made]:
        """Make a packet for the centre that the case is offered to; with `drop`, give it over too.

        Raises:
            NotFound: no such case for this caller. Conflict: it is not offered to them, nobody
                agreed, or they have no connector. Unavailable: it could not be given over now.

        """
        row, facts = await self.stages.lock(conn, asked)
        work = facts.work
        if work.handover not in (handover.OFFERED, handover.ACCEPTED) or work.handed_to != to:
            raise Conflict("offer the case to them first", state=work.handover)
        connector = self.connectors.get(to)
        if drop and connector is None:
            raise Conflict("there is no way set up to give it to them")
        opened, consent, known = await self.disclosures.for_centre(conn, row, to, asked.at)
        packet = Packet(
            uuid4(),
            asked.case_id,
            to,
            asked.at,
            await cases.received_at(conn, row.submission_id),
            facts,
            opened,
            _age(known, facts),
            (known.report.get("happened") or {}).get("from"),
            consent.given_by,
            consent.basis,
            await self._references(conn, asked.case_id, opened, known),
        )
        made = _MAKERS[form](packet)
        digest = hashlib.sha256(made.raw)
        fields = sorted(name for name, value in opened.items() if value)
        read = DataRead(fields=fields, provider_id=to, reason="handover")
        step = Step(kind=form, to=to, means=DROP if drop else DOWNLOAD, sha256=digest.hexdigest())
        draft = told(asked.case_id, "packet-made", msgspec.structs.replace(facts, read=read), step)
        await self.stages.outbox.append(conn, [(draft, Stamp(asked.at, asked.caller.actor))])
        sent = store.Sent(
            packet.packet_id,
            asked.case_id,
            to,
            form,
            DROP if drop else DOWNLOAD,
            digest.digest(),
            fields,
            asked.caller.actor,
            asked.at,
        )
        await store.add_packet(conn, sent)
        if drop and connector is not None:
            try:
                connector.deliver(packet.packet_id, made)
            except OSError:
                raise Unavailable("it could not be laid down; try again") from None
        return packet.packet_id, made

    async def _references(
        self, conn: AsyncConnection, case_id: UUID, opened: Mapping[str, Any], known: Known
    ) -> list[dict[str, str]]:
        """Return the numbers of other offices that may be told."""
        if "external_refs" not in opened:
            return []
        found = [dict(one) for one in opened["external_refs"] or ()]
        if known.person is not None:
            sealed = await sealed_of(conn, known.person.subject_id)
            for step in await steps_of(conn, case_id, REFERENCE):
                if step.note in sealed:
                    said: Any = self.stages.vault.open(known.person, sealed[step.note])
                    found.append({"system": str(step.detail["system"]), "value": said["value"]})
        return found

    async def answer(
        self,
        conn: AsyncConnection,
        asked: Asked,
        packet_id: UUID,
        said: str,
        by: str,
        reference: str | None,
    ) -> dict[str, Any]:
        """Take what the receiver of a packet said; a yes or no is also that of the handover.

        Raises:
            NotFound: no such case for this caller, or no such packet of it. Conflict: the case is
                no longer offered to them.

        """
        _, facts = await self.stages.lock(conn, asked)
        at = asked.at
        to = await store.answer_packet(conn, asked.case_id, packet_id, said, by, at)
        if to is None:
            raise NotFound
        draft = told(asked.case_id, "packet-acknowledged", facts, Step(result=said, to=to))
        await self.stages.outbox.append(conn, [(draft, Stamp(at, asked.caller.actor))])
        waits = facts.work.handover == handover.OFFERED and facts.work.handed_to == to
        if said != "received" and waits:
            detail = {"to": to, "answer": said, "by": by}
            await self.stages.take(
                conn,
                asked,
                Entry("handover", detail, {"reference": reference}),
                lambda f: handover.answer(asked.case_id, f, to, said),
            )
        if reference:
            await self.note_reference(conn, asked, to, reference)
        return {"packet_id": packet_id, "answer": said}

    async def note_reference(
        self, conn: AsyncConnection, asked: Asked, system: str, value: str
    ) -> None:
        """Write down the number of another office: sealed, and found again by its mark.

        Raises:
            NotFound: no such case for this caller.

        """
        row, _ = await self.stages.take(
            conn,
            asked,
            Entry(REFERENCE, {"system": system}, {"value": value}),
            lambda f: Done(f, (told(asked.case_id, "reference-noted", f, Step(kind=system)),)),
        )
        await store.add_mark(conn, row.submission_id, external_mark(self.index_key, system, value))


def _age(known: Known, facts: CaseFacts) -> Mapping[str, Any] | None:
    """Return the age as it was reported, unless people have corrected it since."""
    ref = known.person.ref if known.person is not None else None
    people: list[dict[str, Any]] = known.report.get("persons", [])
    person: dict[str, Any] = next((p for p in people if p.get("ref") == ref), {})
    said: dict[str, Any] = person.get("age") or {}
    low, high = said.get("min"), said.get("max")
    fits = facts.age is None or (
        (low is None or low <= facts.age) and (high is None or facts.age <= high)
    )
    if fits and (low is not None or high is not None):
        return said
    return None if facts.age is None else {"min": facts.age, "max": facts.age}
