"""`GET /intake/v1/help`: what anybody in danger is shown, whether or not somebody is on duty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from services.intake.casework import store
from services.intake.casework.tasks import COORDINATOR
from services.intake.helplines import help_now, load_lines
from shared.clock import now

if TYPE_CHECKING:
    from shared.runtime import Service


def make_help_router(service: Service) -> APIRouter:
    """Make the one route that promises only what the roster holds."""
    router = APIRouter(prefix="/intake/v1", tags=["reports"])

    @router.get("/help", response_model=None)
    async def show_help() -> Response:
        """Say whether a person answers here now, and which lines are open."""
        at = now()
        async with service.flow.connect() as conn:
            roster = await store.roster_at(conn, at)
        on_duty = any(duty.level == COORDINATOR for _, duty in roster)
        shown = help_now(load_lines(), at, on_duty=on_duty)
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    return router
