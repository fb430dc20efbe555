"""`/intake/v1/training`: what somebody passed, answering a module, completions, who is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.learning import certificate
from services.intake.learning.modules import find_module, list_modules
from services.intake.sign_in.api import Cookies
from shared.access import STAFF, Caller, require
from shared.access_rules import is_trained, needs_training
from shared.bodies import read_body, read_bytes
from shared.clock import now
from shared.errors import InvalidBody
from shared.membership import Training
from shared.openapi import body_of
from shared.sessions import change_session
from shared.settings import read_key
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.learning.modules import Result
    from services.intake.learning.service import Learning
    from shared.runtime import Service

LEARNERS: Final = (
    *(Role.COMMITTEE_MEMBER, Role.OPERATOR, Role.PROVIDER_WORKER),
    *sorted(STAFF),
)
"""People who work here; systems learn nothing."""

LARGEST_FILE: Final = 1_000_000
"""Bytes of a file of completions."""

_CSV: Final = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
}


class AnswersIn(BaseModel):
    """Answers to the questions of a module, in their order; each from 0, null if left open."""

    model_config = ConfigDict(extra="forbid")

    answers: list[Annotated[int, Field(ge=0, le=20)] | None] = Field(max_length=50)


class CertificateIn(BaseModel):
    """A certificate as it was shown."""

    model_config = ConfigDict(extra="forbid")

    certificate: str = Field(max_length=2000)


class Pass:
    """Puts what somebody passed into the session of the browser that they passed it in."""

    def __init__(self, service: Service) -> None:
        """Take the service whose key signs sessions."""
        self._cookies = Cookies(service.settings.public_url)
        self._signs = service.sessions is not None
        self._settings = service.settings

    @property
    def seed(self) -> bytes:
        """The seed that signs sessions and certificates."""
        return read_key(self._settings, "sessions.key")

    async def put(
        self, request: Request, response: Response, learning: Learning, caller: Caller
    ) -> None:
        """Renew the cookie of who has just passed something."""
        value = request.cookies.get(self._cookies.session)
        if not self._signs or caller.session is None or value is None:
            return
        held = [Training(one.module, one.until).claim() for one in await learning.held(caller)]
        made, ends = change_session(self.seed, value, {"trained": held})
        self._cookies.put(response, self._cookies.session, made, (ends - now()).total_seconds())


def make_router(service: Service, learning: Learning, handing: Pass) -> APIRouter:
    """Make the routes of `/intake/v1/training`."""
    router = APIRouter(tags=["training"], prefix="/intake/v1/training")

    @router.get("", response_model=None)
    async def mine(caller: Annotated[Caller, Depends(require(*LEARNERS))]) -> Response:
        """Tell what the caller needs and holds; a certificate for each that still holds."""
        held = {one.module: one for one in await learning.held(caller)}
        told = {
            "subject": caller.subject,
            "needs": needs_training(caller.role),
            "trained": is_trained(caller, now()),
            "modules": [
                {
                    "name": module.name,
                    "questions": len(module.questions),
                    "passed_on": one.passed_on if (one := held.get(module.name)) else None,
                    "until": one.until if one else None,
                    "certificate": certificate.sign(
                        handing.seed,
                        caller.subject,
                        Training(module.name, one.until),
                        one.passed_on,
                    )
                    if one and service.sessions
                    else None,
                }
                for module in list_modules("bn")
            ],
        }
        return JSONResponse(msgspec.to_builtins(told))

    @router.get("/coverage", response_model=None)
    async def coverage(
        caller: Annotated[Caller, Depends(require(Role.COORDINATOR, Role.SUPERVISOR))],
    ) -> Response:
        """Count by organisation and place who has the training that the role needs."""
        del caller
        return JSONResponse({"items": msgspec.to_builtins(await learning.coverage(now()))})

    @router.post("/certificates/check", response_model=None, openapi_extra=body_of(CertificateIn))
    async def check(
        request: Request, caller: Annotated[Caller, Depends(require(*LEARNERS))]
    ) -> Response:
        """Say whether a certificate is ours and holds today, and of which module."""
        del caller
        body = await read_body(request, CertificateIn)
        found = certificate.check(handing.seed, body.certificate) if service.sessions else None
        told = {"valid": found is not None}
        if found is not None:
            told |= {"subject": found[0], "module": found[1].module, "until": str(found[1].until)}  # type: ignore[dict-item]
        return JSONResponse(told)

    @router.post("/completions", response_model=None, openapi_extra=_CSV)
    async def take(
        request: Request, caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Take what another platform says was passed: `subject,module,passed_on`, line by line."""
        try:
            text = (await read_bytes(request, LARGEST_FILE)).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidBody("the table is not in UTF-8") from None
        return JSONResponse(msgspec.to_builtins(await learning.take(text, caller, now())))

    @router.post("/modules/{name}", response_model=None, openapi_extra=body_of(AnswersIn))
    async def answer(
        request: Request, name: str, caller: Annotated[Caller, Depends(require(*LEARNERS))]
    ) -> Response:
        """Grade the caller's answers; `wrong` are questions (from 0). Passed, it counts at once."""
        body = await read_body(request, AnswersIn)
        result = await learning.answer(caller, name, body.answers, now())
        response = JSONResponse(told_of(result, name))
        if result.passed:
            await handing.put(request, response, learning, caller)
        return response

    return router


def told_of(result: Result, name: str) -> dict[str, object]:
    """Return what became of some answers."""
    module = find_module("bn", name)
    asked = len(module.questions) if module else 0
    return {"passed": result.passed, "questions": asked, "wrong": list(result.wrong)}
