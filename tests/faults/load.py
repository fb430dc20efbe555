"""The load: reports over three channels, repeats, and a coordinator's triage, at a bounded rate."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.vocabulary import Role
from tests.faults.attempts import Attempt, Kind, Outcome

if TYPE_CHECKING:
    import random

    from tests.faults.caller import Caller

PLACES = ("BD30260038", "BD30260072", "BD20220090", "BD50100020")
NEEDS = ("legal_aid", "education", "case_management", "cash_assistance")
"""Needs whose policy is automatic, and that an office in every place serves."""

PARTNER = "example-partner"
IN_FLIGHT = 40
"""Attempts under way at once; more would only queue."""

KNOWN = 500
"""Cases that the coordinator still has in mind."""


def report(rng: random.Random, place: str, needs: list[str]) -> dict[str, Any]:
    """Make a report that routes by itself: its person agreed, and nothing stands against it."""
    age = rng.choice((15, 16, 17))
    return {
        "channel": "partner",
        "language": "bn",
        "about": "people",
        "reporter": {"kind": "partner_worker", "name": "Example Worker"},
        "persons": [
            {
                "ref": "a",
                "name": "Example Person",
                "age": {"min": age, "max": age, "basis": "stated"},
                "sex": rng.choice(("female", "male")),
                "languages": ["bn"],
            }
        ],
        "places": [{"role": "now", "pcode": place}],
        "concerns": ["child_labour"],
        "needs": needs,
        "narrative": "An invented story.",
        "consent": [
            {
                "person": "a",
                "given_by": "person",
                "basis": "consent",
                "how": "spoken",
                "explained": True,
                "allows": ["refer"],
            }
        ],
    }


@dataclass(slots=True)
class Load:
    """Draws attempts from a seed; at most `limit` of them, `rate` a second."""

    caller: Caller
    rng: random.Random
    rate: float
    limit: int
    cases: deque[str] = field(default_factory=lambda: deque(maxlen=KNOWN))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Start attempts at the rate until told to stop or the limit is reached; end them all."""
        slots = asyncio.Semaphore(IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.limit):
                await slots.acquire()
                if self.stopping.is_set():
                    break
                task = group.create_task(self._one())
                task.add_done_callback(lambda _: slots.release())
                await self._pace()

    async def _pace(self) -> None:
        try:
            async with asyncio.timeout(self.rng.expovariate(self.rate)):
                await self.stopping.wait()
        except TimeoutError:
            return

    def _mark(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    async def _one(self) -> None:
        drawn = self.rng.random()
        if drawn < 0.2 and self.cases:
            await self.triage(self.rng.choice(self.cases))
        elif drawn < 0.3:
            await self.anonymous()
        elif drawn < 0.4:
            await self.sms()
        else:
            await self.report()

    async def report(self, place: str | None = None, needs: list[str] | None = None) -> Attempt:
        """Report as a partner; one in ten is sent twice with the same key."""
        body = report(
            self.rng,
            place or self.rng.choice(PLACES),
            needs or self.rng.sample(NEEDS, self.rng.choice((1, 1, 2))),
        )
        repeat = int(self.rng.random() < 0.1)
        done = await self.caller.attempt(
            Kind.REPORT,
            self._mark(),
            "/intake/v1/reports",
            role=Role.PARTNER,
            org=PARTNER,
            sends_after_ok=repeat,
            json=body,
        )
        if done.outcome is Outcome.OK:
            self.cases.extend(done.case_ids)
        return done

    async def anonymous(self) -> Attempt:
        body = {
            "channel": "web",
            "about": "people",
            "persons": [{"ref": "a", "age": {"min": 12, "max": 12}}],
            "places": [{"role": "event", "pcode": self.rng.choice(PLACES)}],
            "concerns": ["child_labour"],
        }
        repeat = int(self.rng.random() < 0.2)
        return await self.caller.attempt(
            Kind.ANONYMOUS, self._mark(), "/intake/v1/reports", sends_after_ok=repeat, json=body
        )

    async def sms(self) -> Attempt:
        mark = self._mark()
        repeat = int(self.rng.random() < 0.3)
        form = {
            "from": f"+88017{self.rng.randrange(10**8):08d}",
            "text": "১২ বছরের শিশু কারখানায় কাজ করে, সাভার",
            "id": mark,
        }
        return await self.caller.attempt(
            Kind.SMS, mark, "/intake/channels/sms/external", sends_after_ok=repeat, data=form
        )

    async def triage(self, case_id: str) -> Attempt:
        """Triage a case that may not even be open yet: never a conflict for being early."""
        body = {"urgency": self.rng.choice(("T2", "T3"))}
        return await self.caller.attempt(
            Kind.TRIAGE,
            self._mark(),
            f"/intake/v1/cases/{case_id}/triage",
            role=Role.COORDINATOR,
            about=case_id,
            json=body,
        )
