"""Intake's pages: the desk of coordinators, operators and supervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.pages.desk import acts, calls, routes
from services.intake.pages.desk.frame import Frame, make_pages

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service


def make_routers(service: Service) -> tuple[APIRouter, ...]:
    """Make the routes of the desk: what is looked at, what is done, and calls."""
    frame = Frame(make_pages())
    return (
        routes.make_router(service, frame),
        acts.make_router(service, frame),
        calls.make_router(frame),
    )
