"""`GET /intake/v1/help`: what anybody in danger is shown, whether or not somebody is on duty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

if TYPE_CHECKING:
    from services.intake.casework.shown import Board
    from shared.runtime import Service


def make_help_router(service: Service, board: Board) -> APIRouter:
    """Make the one route that promises only what the roster holds."""
    router = APIRouter(prefix="/intake/v1", tags=["reports"])

    @router.get("/help", response_model=None)
    async def show_help() -> Response:
        """Say whether a person answers here now, and which lines are open."""
        shown = await board.look(service.flow)
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    return router
