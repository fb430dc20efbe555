"""Use cases of the notice for 13219: made by a named person, taken down by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from services.intake.casework.stages import Asked, Entry
from services.intake.data_read import readings
from services.intake.disclosure.store import known_of
from services.intake.packets import alert
from services.intake.packets.packet import Made
from shared.errors import NotFound
from shared.events import DataRead
from shared.pages.languages import digits, load_texts, show_time, show_whole_place
from shared.pages.pages import HERE
from shared.pages.words import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Stages
    from shared.events import CaseFacts

STEP: Final = "missing-alert"
DOWN: Final = "missing-alert-down"
_CAREFUL: Final = "সবার সামনে দেওয়া যাবে না। যিনি শিশুটিকে খুঁজছেন, তিনিই বিপদ হতে পারেন: তাঁকে কিছু জানাবেন না।"
_USUAL: Final = "শিশুটিকে পেলে আগে এই কেন্দ্রকে জানান। যিনি খবর দিয়েছেন, তাঁর কথা এখানে নেই।"


@dataclass(frozen=True, slots=True)
class Alerts:
    """What somebody of the desk does with a notice, inside the caller's transaction."""

    stages: Stages

    async def make(
        self, conn: AsyncConnection, asked: Asked, said: Mapping[str, Any]
    ) -> tuple[UUID, Made]:
        """Make the notice, on paper in Bangla. `said` is the body of `AlertIn`.

        Raises:
            NotFound, Stale: see `Stages.take`. Conflict, Forbidden: see `alert.make`.

        """
        danger = said["reporter_danger"]
        row, _ = await self.stages.take(
            conn,
            asked,
            Entry(STEP, {"to": alert.LINE, "basis": said["basis"]}, {"checked": said["checked"]}),
            lambda f: alert.make(asked.case_id, f, danger, asked.caller.role),
        )
        if row.facts is None:
            raise NotFound
        await self.stages.refuse_alleged(conn, asked.case_id, said["basis"])
        known = await known_of(conn, asked.case_id)
        told = (
            {}
            if known.person is None
            else {
                f.name: self.stages.vault.open(known.person, f)
                for f in known.person.fields
                if f.name == "name"
            }
        )
        read = DataRead(fields=["name"], provider_id=alert.LINE, reason="alert")
        events = readings({asked.case_id: row.facts}, read, asked.caller, asked.at)
        await self.stages.outbox.append(conn, events)
        packet_id = uuid4()
        from services.intake.packets.paper import set_page  # noqa: PLC0415  (loads ReportLab)

        lines = _lines(row.facts, str(told.get("name") or ""), said)
        foot = _CAREFUL if danger == "yes" else _USUAL
        raw = set_page(f"নিখোঁজ শিশু: {digits(alert.LINE, 'bn')}", lines, foot)
        return packet_id, Made(raw, "application/pdf", "pdf")

    async def take_down(self, conn: AsyncConnection, asked: Asked, text: str) -> None:
        """Write down that it was taken down; nobody but the desk learns why.

        Raises:
            NotFound, Stale: see `Stages.take`. Conflict: none is out.

        """
        await self.stages.take(
            conn,
            asked,
            Entry(DOWN, {"to": alert.LINE}, {"text": text}),
            lambda f: alert.take_down(asked.case_id, f),
        )


def _lines(facts: CaseFacts, name: str, said: Mapping[str, Any]) -> list[tuple[str, str]]:
    texts = load_texts((HERE,), "bn")
    place = facts.upazila or facts.district
    seen = said.get("seen_at")
    found = [
        ("নাম", name),
        ("বয়স", f"{digits(facts.age, 'bn')} বছর" if facts.age is not None else ""),
        ("মেয়ে না ছেলে", word(texts, facts.sex, "sex")),
        ("শেষ যেখানে দেখা গেছে", said["last_seen"]),
        ("কখন", show_time(seen, "bn") if seen else ""),
        ("এলাকা", show_whole_place(place, "bn") if place else ""),
        ("চেনার উপায়", said.get("description") or ""),
    ]
    return [(term, text) for term, text in found if text]
