"""Intake's pages: the desk of coordinators, operators and supervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.pages.desk import acts, alike, calls, packets, routes
from services.intake.pages.desk.frame import Frame, make_pages

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service


def make_routers(service: Service) -> tuple[APIRouter, ...]:
    """Make the routes of the desk in the process of cases: what is looked at, what is done."""
    frame = Frame(make_pages())
    return (
        routes.make_router(service, frame),
        alike.make_router(frame),
        packets.make_router(frame),
        acts.make_router(service, frame),
    )


def make_calls_router() -> APIRouter:
    """Make the routes of calls, in the process of the channel that takes them."""
    return calls.make_router(Frame(make_pages()))
