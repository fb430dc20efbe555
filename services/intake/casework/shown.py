"""What a report's answer shows beside its receipt: whether a person answers here, and open lines.

It is the same for every report at the same moment, so that an answer tells nothing of the report.
Made anew once a minute, off the way of a report; whoever cannot read the roster promises nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.casework.roster import roster_at
from services.intake.casework.tasks import COORDINATOR
from services.intake.helplines import help_now, load_lines
from shared.clock import now
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

EVERY: Final = 60.0
"""Seconds between two looks."""

_log = Log("shown")


@dataclass(slots=True)
class Board:
    """Keeps what is shown now; one instance a process."""

    clock: Callable[[], datetime] = now
    answer: Mapping[str, Any] = field(default_factory=dict)
    """What is added to the answer of a report, ready to be written."""

    def __post_init__(self) -> None:
        self._show(on_duty=False)

    async def look(self, engine: AsyncEngine) -> dict[str, Any]:
        """Read the roster and make it anew; return it as `GET /intake/v1/help` shows it.

        Who serves one district alone is no promise to whoever lives in another.
        """
        try:
            async with engine.connect() as conn:
                roster = await roster_at(conn, self.clock())
        except Exception as error:  # noqa: BLE001  (a report is taken, and its lines are shown)
            _log.error("roster-not-read", error)
            return self._show(on_duty=False)
        everywhere = any(d.level == COORDINATOR and d.district is None for _, d in roster)
        return self._show(on_duty=everywhere)

    async def run(self, engine: AsyncEngine) -> None:
        """Look again and again."""
        while True:
            await self.look(engine)
            await asyncio.sleep(EVERY)

    def _show(self, *, on_duty: bool) -> dict[str, Any]:
        found = help_now(load_lines(), self.clock(), on_duty=on_duty)
        lines = [{name: line[name] for name in ("number", "bn", "en")} for line in found["lines"]]
        self.answer = {
            "on_duty": on_duty,
            "open_lines": msgspec.Raw(msgspec.json.encode(lines)),
        }
        return found
