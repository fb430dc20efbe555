"""`/learning`: what somebody should know for their work, to read and to answer; who is trained.

Open to everybody who works here, before the training that a role needs: the other rooms send
whoever lacks it here (`shared.pages.pages`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.learning import certificate
from services.intake.learning.api import LEARNERS
from services.intake.learning.modules import find_module, list_modules
from services.intake.learning.service import SOON
from shared.access import Caller, require
from shared.access_rules import needs_training
from shared.clock import day_of, now
from shared.errors import NotFound
from shared.membership import Training
from shared.pages.forms import read_form
from shared.pages.pages import LEARNING, Pages
from shared.pages.words import N_
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.learning.api import Pass
    from services.intake.learning.modules import Module
    from services.intake.learning.service import Learning
    from shared.pages.forms import Form

_HERE: Final = Path(__file__).parent
_HOME: Final = {
    Role.PROVIDER_WORKER: "/provider",
    Role.COMMITTEE_MEMBER: "/committee",
    Role.AUDITOR: "/history",
    Role.OPERATIONS: "/operations",
}
"""Where each role works; the others at the desk."""

_ROLES: Final = {
    "committee_member": N_("Committee members"),
    "operator": N_("Helpline"),
    "coordinator": N_("Coordinators"),
    "supervisor": N_("Supervisors"),
    "provider_worker": N_("Workers of a place of help"),
    "auditor": N_("Auditors"),
}

_Learner = Annotated[Caller, Depends(require(*LEARNERS))]


def make_router(learning: Learning, handing: Pass) -> APIRouter:
    """Make the room's routes."""
    pages = Pages("intake", _HERE, for_learners=True)
    router = pages.router()

    @router.get(LEARNING, response_model=None)
    async def modules(request: Request, caller: _Learner) -> Response:
        today = day_of(now())
        held = {one.module: one for one in await learning.held(caller)}
        needed = needs_training(caller.role)
        open_ = needed is not None and (needed not in held or held[needed].until < today)
        return pages.show(
            request,
            "modules.html",
            me=caller,
            modules=list_modules(pages.language(request)),
            held={name: one.until for name, one in held.items() if one.until >= today},
            soon=today + SOON,
            needed=needed,
            must=open_,
            home=_HOME.get(caller.role, "/desk"),
        )

    @router.get(f"{LEARNING}/{{name}}", response_model=None)
    async def module(request: Request, name: str, caller: _Learner) -> Response:
        found = _must(pages, request, name)
        return pages.show(
            request, "module.html", me=caller, module=found, given=None, wrong=(), said=False
        )

    @router.post(f"{LEARNING}/{{name}}", response_model=None)
    async def answer(request: Request, name: str, caller: _Learner) -> Response:
        found = _must(pages, request, name)
        given = _answers(await read_form(request), len(found.questions))
        result = await learning.answer(caller, name, given, now())
        if not result.passed:
            return pages.show(
                request,
                "module.html",
                422,
                me=caller,
                module=found,
                given=given,
                wrong=result.wrong,
                said=True,
            )
        response = pages.go(request, f"{LEARNING}/{name}/passed")
        await handing.put(request, response, learning, caller)
        return response

    @router.get(f"{LEARNING}/{{name}}/passed", response_model=None)
    async def passed(request: Request, name: str, caller: _Learner) -> Response:
        found = _must(pages, request, name)
        held = {one.module: one for one in await learning.held(caller)}
        if name not in held:
            raise NotFound
        one = held[name]
        signed = certificate.sign(
            handing.seed, caller.subject, Training(name, one.until), one.passed_on
        )
        return pages.show(
            request,
            "passed.html",
            me=caller,
            module=found,
            passed=one,
            certificate=signed,
            home=_HOME.get(caller.role, "/desk"),
        )

    @router.get("/desk/training", response_model=None)
    async def team(
        request: Request,
        caller: Annotated[Caller, Depends(require(Role.COORDINATOR, Role.SUPERVISOR))],
    ) -> Response:
        return pages.show(
            request,
            "coverage.html",
            me=caller,
            covered=await learning.coverage(now()),
            roles={code: pages.text(request, text) for code, text in _ROLES.items()},
        )

    return router


def _must(pages: Pages, request: Request, name: str) -> Module:
    found = find_module(pages.language(request), name)
    if found is None:
        raise NotFound
    return found


def _answers(form: Form, many: int) -> list[int | None]:
    """Return the answers of a form; what is no answer is none."""
    told = [form.get(f"q{number}") for number in range(many)]
    return [int(one) if one.isdecimal() and len(one) < 3 else None for one in told]  # noqa: PLR2004
