"""What the routes of the public pages share: the pages themselves, the lines that can be called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.intake.helplines import help_now, load_lines
from services.intake.pages.public.sealing import Sealer
from shared.clock import now
from shared.pages.pages import Pages

if TYPE_CHECKING:
    from services.intake.channels import Desk

LEAVE_TO: Final = "https://live7.bmd.gov.bd/"
"""Where leaving goes when `INTAKE_LEAVE_TO` names nothing else: the weather."""


@dataclass(frozen=True, slots=True)
class Room:
    """The public pages of a process, with what their routes need."""

    desk: Desk
    pages: Pages
    sealer: Sealer
    receipts: Sealer

    @classmethod
    def of(cls, desk: Desk) -> Room:
        """Make the room; nothing is read again later."""
        pepper = desk.secrets.pepper
        pages = Pages("intake", Path(__file__).parent, public=True)
        return cls(desk, pages, Sealer(pepper, "told", now), Sealer(pepper, "receipt", now))

    @property
    def leave_to(self) -> str:
        """Where whoever leaves is sent."""
        return self.desk.environ.get("INTAKE_LEAVE_TO") or LEAVE_TO


def lines_now() -> list[dict[str, Any]]:
    """Return the lines that can be called now, those that are surely open first."""
    shown = help_now(load_lines(), now(), on_duty=False)
    still = [line | {"open": False} for line in shown["lines_without_known_hours"]]
    return [line | {"open": True} for line in shown["lines"]] + still
