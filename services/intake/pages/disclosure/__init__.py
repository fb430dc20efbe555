"""Who a person is, as a page for a worker of the place that said yes: each look is an event.

The use case is the interface's (`services.intake.disclosure`): cut to what was agreed and needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request
from starlette.responses import Response

from shared.access import Caller, require
from shared.clock import now
from shared.errors import Conflict
from shared.pages.languages import Language, show_place
from shared.pages.pages import Pages
from shared.pages.words import N_
from shared.vocabulary import Role

if TYPE_CHECKING:
    from fastapi import APIRouter

    from services.intake.disclosure.service import Disclosures
    from shared.runtime import Service

_HERE: Final = Path(__file__).parent
_WHY: Final = {
    "no_consent": N_("The person has not agreed that you learn this. Ask the centre."),
    "erased": N_("What was known was deleted, as the person wished."),
}
_ENDED: Final = N_("You see this after your yes, and as long as you help.")
_TEXTS: Final = (
    ("name", N_("Name")),
    ("phone", N_("Phone")),
    ("places", N_("Places")),
    ("relation_to_reporter", N_("To whoever told us")),
    ("reporter", N_("Who told us")),
    ("narrative", N_("In their words")),
    ("told_before", N_("Told before")),
    ("external_refs", N_("Numbers elsewhere")),
)


def make_router(service: Service, disclosures: Disclosures) -> APIRouter:
    """Make the route."""
    pages = Pages("intake", _HERE)
    router = pages.router()

    @router.get("/intake/pages/disclosures/{referral_id}", response_model=None)
    async def show(
        request: Request,
        referral_id: UUID,
        caller: Annotated[Caller, Depends(require(Role.PROVIDER_WORKER))],
    ) -> Response:
        """Tell the worker who the person is, as far as was agreed."""
        try:
            async with service.flow.begin() as conn:
                told = await disclosures.disclose(conn, referral_id, caller, now())
        except Conflict as refused:
            why = pages.text(request, _WHY.get(str(refused.members.get("why")), _ENDED))
            return pages.show(
                request, "refused.html", 409, me=caller, why=why, referral_id=referral_id
            )
        service.waker.wake()
        return pages.show(
            request,
            "person.html",
            me=caller,
            told=told,
            lines=[
                (pages.text(request, label), value)
                for label, value in _lines(told["person"], pages.language(request))
            ],
            contact=told["person"].get("safe_contact"),
            referral_id=referral_id,
        )

    return router


def _lines(person: dict[str, Any], language: Language) -> list[tuple[str, str]]:
    """Return what is known under its label, as texts."""
    told = {name: person.get(name) for name, _ in _TEXTS}
    told["places"] = "; ".join(_place(one, language) for one in person.get("places") or ())
    told["told_before"] = ", ".join(one["who"] for one in person.get("told_before") or ())
    told["external_refs"] = ", ".join(
        f"{one['system']}: {one['value']}" for one in person.get("external_refs") or ()
    )
    reporter = person.get("reporter") or {}
    told["reporter"] = ", ".join(filter(None, (reporter.get("name"), reporter.get("phone"))))
    return [(label, str(told[name])) for name, label in _TEXTS if told[name]]


def _place(place: dict[str, Any], language: Language) -> str:
    named = show_place(place.get("pcode"), language)
    return ", ".join(filter(None, (place.get("text"), place.get("site"), named)))
