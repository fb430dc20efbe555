"""`POST /intake/v1/contacts/…`: the one synchronous question between services (DECISIONS 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.intake import store as cases
from services.intake.casework.store import attempts_of, is_unchecked
from services.intake.casework.tasks import most_urgent
from services.intake.contacts import workers_store
from services.intake.contacts.of_provider import reach_provider
from services.intake.contacts.on_duty import reach_on_duty, reach_supervisor
from services.intake.contacts.resolve import TIMEZONE, Reach, Withheld, resolve_contact
from services.intake.data_read import readings
from services.intake.preparing import number_index
from services.intake.reporters.store import is_stopped, sealed_of
from shared.access import Caller, require
from shared.bodies import Model, read_body
from shared.clock import now
from shared.events import DataRead
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.numbers import Numbers
    from services.intake.preparing import Secrets
    from services.intake.vault import Vault
    from shared.outbox import Outbox
    from shared.runtime import Service


MOST_SIFTED: Final = 500
"""Referrals in one question at most."""


class ResolveIn(Model):
    """Whom a notice is for, what it is (the name of its template), and the ways it may go.

    `event_id` is what it tells of: to whoever is on duty, which page. Of a digest to a supervisor
    `case_id` is the entry of the roster.
    """

    case_id: UUID
    recipient: Literal["person", "reporter", "on_duty", "supervisor", "provider"]
    purpose: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
    notice_id: UUID
    referral_id: UUID | None = None
    event_id: UUID | None = None
    ways: list[Literal["sms", "whatsapp", "call", "push", "email"]] = Field(
        ["sms"], min_length=1, max_length=5
    )


class SiftIn(Model):
    """Referrals whose providers are to hear of them."""

    referral_ids: list[UUID] = Field(min_length=1, max_length=MOST_SIFTED)


def make_router(
    service: Service, vault: Vault, outbox: Outbox, secrets: Secrets, numbers: Numbers
) -> APIRouter:
    """Make the route that notification alone may call."""
    router = APIRouter(prefix="/intake/v1", tags=["contacts"])

    @router.post("/contacts/resolve", response_model=None, openapi_extra=body_of(ResolveIn))
    async def resolve(
        request: Request, caller: Annotated[Caller, Depends(require(Role.SERVICE))]
    ) -> Response:
        """Answer a way and where to, with safe days and hours, or that it is withheld and why.

        What is read of a person is an event; the number is for this one notice and is never kept.
        """
        body = await read_body(request, ResolveIn)
        async with service.flow.begin() as conn:
            if body.recipient == "on_duty":  # staff: no person's data is read
                answer = await reach_on_duty(
                    conn, numbers, body.case_id, body.event_id, now(), body.ways
                )
            elif body.recipient == "supervisor":  # likewise
                answer = await reach_supervisor(conn, numbers, body.case_id, now(), body.ways)
            elif body.recipient == "provider":  # likewise
                answer = await reach_provider(conn, numbers, body.referral_id, body.ways)
            else:
                answer = await _answer(conn, vault, body, now())
                await _note(conn, outbox, body, caller)
            number = answer.get("number")
            if number and await is_stopped(conn, number_index(secrets.index, number)):
                answer = {
                    "decision": "withheld",
                    "reason": "contact-stopped",
                    "urgency": answer["urgency"],
                }
        service.waker.wake()
        return JSONResponse(msgspec.to_builtins(answer), headers={"Cache-Control": "no-store"})

    @router.post("/contacts/sift", response_model=None, openapi_extra=body_of(SiftIn))
    async def sift(
        request: Request,
        caller: Annotated[Caller, Depends(require(Role.SERVICE))],  # noqa: ARG001
    ) -> Response:
        """Answer of which referrals no worker need hear (`moot`), or not yet (`later`).

        Most providers have a system, and no worker who hears by us: asked at once, for many.
        """
        body = await read_body(request, SiftIn)
        async with service.flow.begin() as conn:
            found = await workers_store.sift(conn, body.referral_ids)
        answer = {"moot": found.moot, "later": found.later}
        return JSONResponse(msgspec.to_builtins(answer), headers={"Cache-Control": "no-store"})

    return router


async def _answer(
    conn: AsyncConnection, vault: Vault, body: ResolveIn, at: datetime
) -> dict[str, Any]:
    row = await cases.lock_case(conn, body.case_id)
    if row is None or row.facts is None:
        return {"decision": "withheld", "reason": "no-case", "urgency": None}
    attempts = (await attempts_of(conn, [body.case_id]))[body.case_id].values()
    urgency = most_urgent([row.facts.urgency, *(a.urgency for a in attempts)])
    known = {"urgency": urgency, "consent": row.facts.consent.given}
    found = await _find(conn, vault, body, at)
    if body.recipient == "person" and await is_unchecked(conn, body.case_id):
        found = Withheld("contact-unchecked")
    if isinstance(found, Withheld):
        return {"decision": "withheld", "reason": found.reason, **known}
    language = next(iter(row.facts.languages), "bn")
    return {
        "decision": "contact",
        "language": language,
        "timezone": TIMEZONE,
        **msgspec.to_builtins(found),
        **known,
    }


async def _find(
    conn: AsyncConnection, vault: Vault, body: ResolveIn, at: datetime
) -> Reach | Withheld:
    """Open what one person said about safe contact: the person's own, never somebody else's."""
    subject = await cases.subject_of(conn, body.case_id, body.recipient)
    if subject is None:
        return Withheld("no-safe-contact")
    if not subject.wrapped_key:
        return Withheld("erased")
    sealed = await sealed_of(conn, subject.subject_id)

    def opened(name: str) -> Any:  # noqa: ANN401  (any JSON value)
        return vault.open(subject, sealed[name]) if name in sealed else None

    return resolve_contact(opened("safe_contact"), opened("phone"), at, body.ways)


async def _note(conn: AsyncConnection, outbox: Outbox, body: ResolveIn, caller: Caller) -> None:
    """Write that a person's data was read, and for which kind of notice."""
    known = await cases.lock_facts(conn, [body.case_id])
    read = DataRead(fields=["phone", "safe_contact"], reason=body.purpose)
    await outbox.append(conn, readings(known, read, caller, now()))
