"""Wires the public pages: what is told goes through the web channel, the rest through receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.pages.public.api import add_first_pages, add_telling
from services.intake.pages.public.returning import add_returning
from services.intake.pages.public.room import Room

if TYPE_CHECKING:
    from fastapi import APIRouter

    from services.intake.channels import Desk
    from services.intake.reporters.service import Reporters


def make_router(desk: Desk, reporters: Reporters) -> APIRouter:
    """Make the routes of the public pages."""
    room = Room.of(desk)
    router = room.pages.router()
    add_first_pages(router, room)
    add_telling(router, room)
    add_returning(router, room, reporters)
    return router
