"""`/intake/v1/cases/{case_id}/consent`: the desk records what a person agreed to, or took back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, Field

from services.intake.consent import store
from services.intake.consent.decide import Wish
from services.intake.consent.record import state_of
from services.intake.reach import must
from services.intake.report import MAX_LIST, ProviderKey, Short
from services.intake.store import find_case
from shared.access import Caller, require
from shared.access_rules import Verb
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.http import once
from shared.openapi import body_of
from shared.paging import version_of
from shared.vocabulary import Need, Role

if TYPE_CHECKING:
    from services.intake.consent.service import Consents
    from shared.runtime import Service

_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)

Shareable = Literal[
    "name",
    "phone",
    "safe_contact",
    "places",
    "relation_to_reporter",
    "reporter",
    "narrative",
    "told_before",
    "external_refs",
]


class DecisionIn(Model):
    """What a person said, or a body decided, and who heard it. Texts are sealed with the person."""

    decision: Literal["given", "changed", "withdrawn"]
    consent_id: UUID | None = None
    given_by: Literal["person", "caregiver", "third_party", "decision_body"]
    giver_relation: Short | None = None
    how: Literal["spoken", "written", "thumbprint", "recorded"] | None = None
    witness: Short | None = None
    recorded_by: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.-]{1,80}$")] | None = None
    explained: bool = False
    allows: list[Literal["refer", "share_identity", "contact"]] = Field(["refer"], max_length=10)
    purposes: list[Need] = Field([], max_length=MAX_LIST)
    providers: list[ProviderKey] = Field([], max_length=MAX_LIST)
    fields: list[Shareable] | None = Field(None, max_length=MAX_LIST)
    basis: Literal[
        "consent",
        "assent_and_caregiver",
        "assent_and_trusted_adult",
        "best_interest",
        "legal_duty",
    ] = "consent"
    decision_body: Literal["probation_officer", "child_welfare_board", "court"] | None = None
    instrument: Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,60}$")] | None = None
    reason: Annotated[str, Field(max_length=2000)] | None = None
    expires_at: AwareDatetime | None = None

    def wish(self) -> Wish:
        """Return it without its texts, but for the relation, which is compared and not kept."""
        return Wish(
            decision=self.decision,
            given_by=self.given_by,
            relation=self.giver_relation,
            how=self.how,
            witnessed=bool(self.witness),
            explained=self.explained,
            allows=tuple(self.allows),
            purposes=tuple(self.purposes),
            providers=tuple(self.providers),
            fields=None if self.fields is None else tuple(self.fields),
            basis=self.basis,
            expires_at=self.expires_at,
            heard_by=self.recorded_by,
            decision_body=self.decision_body,
            instrument=self.instrument,
            reasoned=bool(self.reason and self.reason.strip()),
            consent_id=self.consent_id,
        )


def make_router(service: Service, consents: Consents) -> APIRouter:
    """Make the routes by which the desk records consent; nobody with a receipt has one."""
    router = APIRouter(prefix="/intake/v1", tags=["consent"])

    @router.post("/cases/{case_id}/consent", response_model=None, openapi_extra=body_of(DecisionIn))
    async def record(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Record a consent that was given, changed or taken back; it counts at once."""
        raw = await read_bytes(request)
        body = validate(DecisionIn, parse_json(raw))
        version = version_of(request)
        private = {
            "giver_relation": body.giver_relation,
            "witness": body.witness,
            "reason": body.reason,
        }
        async with service.flow.begin() as conn:

            async def act() -> tuple[int, Any]:
                made, row = await consents.record(
                    conn,
                    case_id,
                    body.wish(),
                    private,
                    caller=caller,
                    version=version,
                    at=now(),
                )
                added = made.added[0].consent_id if made.added else None
                return 200, {
                    "case_id": case_id,
                    "consent_id": added,
                    "ended": [c.consent_id for c in made.ended],
                    "consent": state_of(made.left),
                    "version": row.version,
                }

            response = await once(request, conn, raw, act)
        service.waker.wake()
        return response

    @router.get("/cases/{case_id}/consent", response_model=None)
    async def consent(
        case_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK, Role.AUDITOR))]
    ) -> Response:
        """List every consent of a case and how it stands, without who said it."""
        async with service.flow.connect() as conn:
            must(caller, Verb.CONSENTS, await find_case(conn, case_id), now())
            items = await store.list_consents(conn, case_id)
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}))

    return router
