"""Intake's pages: the desk of coordinators, operators and supervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.pages.desk import (
    acts,
    alike,
    calls,
    documents,
    erasure,
    news,
    packets,
    routes,
    search,
    team,
)
from services.intake.pages.desk.frame import make_frame

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service


def make_routers(service: Service) -> tuple[APIRouter, ...]:
    """Make the routes of the desk in the process of cases: what is looked at, what is done."""
    frame = make_frame(service)
    return (
        routes.make_router(service, frame),
        search.make_router(frame),
        team.make_router(service, frame),
        documents.make_router(frame),
        erasure.make_router(frame),
        news.make_router(service, frame),
        alike.make_router(frame),
        packets.make_router(frame),
        acts.make_router(service, frame),
    )


def make_calls_router(service: Service) -> APIRouter:
    """Make the routes of calls, in the process of the channel that takes them."""
    return calls.make_router(make_frame(service))
