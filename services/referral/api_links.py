"""Links: the desk makes one, and who holds it answers one referral once, without an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.referral import store
from services.referral.api import actor_of, json_of
from services.referral.domain import Actor, Order, held
from services.referral.links import (
    LASTS,
    Link,
    LinkSigner,
    find_link,
    save_link,
    use_link,
)
from services.referral.pages.provider import HERE, words
from services.referral.pages.provider.words import NO
from shared.access import Caller, require
from shared.access_rules import Verb
from shared.bodies import read_bytes
from shared.clock import now, rfc3339
from shared.errors import Conflict, Forbidden, NotFound
from shared.pages.pages import Pages
from shared.vocabulary import ReferralState, Role

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.referral import Referral
    from services.referral.service import Referrals
    from shared.runtime import Service

LARGEST: Final = 1024
"""Bytes of an answer's form."""


@dataclass(frozen=True, slots=True)
class Links:
    """What is done with links, each in the caller's transaction."""

    referrals: Referrals
    signer: LinkSigner

    async def make(
        self, conn: AsyncConnection, referral_id: UUID, caller: Caller, at: datetime
    ) -> tuple[str, datetime]:
        """Make a link for what is offered, and say until when it is good; an earlier one ends.

        Raises:
            NotFound: no such referral for this caller. Conflict: it is not offered to anybody.

        """
        await self.referrals.must(conn, referral_id, caller, Verb.ANSWER, at)
        found = await store.find_referral(conn, referral_id)
        if found is None:
            raise NotFound
        if found.state != ReferralState.ASSIGNED or not found.heard:
            told = held(found, actor_of(caller))
            raise Conflict("only what is offered can be answered", **told)
        link, nonce = self.signer.make()
        until = min(at + LASTS, found.respond_by or at + LASTS)
        await save_link(conn, nonce, Link(referral_id, str(found.provider_id)), at, until)
        return link, until

    async def open(self, conn: AsyncConnection, link: str, at: datetime) -> Referral:
        """Return the referral that a link may answer now, with its case locked.

        Raises:
            NotFound: there is nothing to answer by this link; it is not told why.

        """
        nonce = self.signer.nonce_of(link)
        good = await find_link(conn, nonce, at) if nonce is not None else None
        if good is None or nonce is None:
            raise NotFound
        caller = Caller("link", Role.PROVIDER_WORKER, good.provider_id)
        await self.referrals.must(conn, good.referral_id, caller, Verb.ANSWER, at)
        found = await store.find_referral(conn, good.referral_id)
        good = await find_link(conn, nonce, at)  # again: who waited for the lock was second
        if good is None or found is None or found.provider_id != good.provider_id:
            raise NotFound
        if found.state != ReferralState.ASSIGNED:
            raise NotFound
        return found

    async def answer(
        self, conn: AsyncConnection, link: str, order: Order | None, at: datetime
    ) -> None:
        """Answer by a link and use it up.

        Raises:
            NotFound, Conflict: see `open` and `domain.check`; nothing is used up then.

        """
        found = await self.open(conn, link, at)
        nonce = self.signer.nonce_of(link)
        if order is None or nonce is None:
            raise NotFound
        if not await use_link(conn, nonce, at):
            raise NotFound
        actor = Actor(Role.PROVIDER_WORKER, _NAME, found.provider_id)
        await self.referrals.act(conn, found.referral_id, order, actor, at)


_NAME: Final = f"{Role.PROVIDER_WORKER}:link"
"""By what name the history knows whoever answered by a link."""


def make_router(service: Service, links: Links) -> APIRouter:
    """Make the routes of links."""
    router = APIRouter(tags=["links"])
    pages = Pages("referral", HERE)

    @router.post("/referral/v1/referrals/{referral_id}/link", status_code=201, response_model=None)
    async def make(
        referral_id: UUID,
        caller: Annotated[Caller, Depends(require(Role.COORDINATOR, Role.SUPERVISOR))],
    ) -> Response:
        """Make a link for an offered referral's provider: `{"url", "expires_at"}`, shown once.

        It ends an earlier one. Give it to the provider's worker in person or by a call or message.
        """
        async with service.flow.begin() as conn:
            link, until = await links.make(conn, referral_id, caller, now())
        told = {"url": f"{service.settings.public_url}/referral/a/{link}"}
        return json_of(told | {"expires_at": rfc3339(until)}, {"Cache-Control": "no-store"}, 201)

    @router.get("/referral/a/{link}", response_model=None)
    async def look(request: Request, link: str) -> Response:
        """Show what is asked of the provider, and two buttons; a neutral page for any other link.

        Looking uses nothing up: what reads messages ahead may look too.
        """
        try:
            async with service.flow.begin() as conn:
                found = await links.open(conn, link, now())
        except NotFound:
            return pages.show(request, "link-gone.html", 404)
        return pages.show(request, "link.html", one=found, no=NO, at=now(), words=words)

    @router.post("/referral/a/{link}", response_model=None)
    async def answer(request: Request, link: str) -> Response:
        """Answer, once: `answer` is `accept`, or `decline` with a `reason`."""
        form = dict(parse_qsl((await read_bytes(request, LARGEST)).decode("latin-1")))
        try:
            async with service.flow.begin() as conn:
                await links.answer(conn, link, order_in(form), now())
        except (
            NotFound,
            Conflict,
            Forbidden,
        ):  # answered, withdrawn or named since: nothing is told
            return pages.show(request, "link-gone.html", 404)
        service.waker.wake()
        return pages.show(request, "link-thanks.html")

    return router


def order_in(form: dict[str, str]) -> Order | None:
    """Return what a form orders; None when it is none of ours."""
    match form.get("answer"), form.get("reason"):
        case "accept", _:
            return Order("accept")
        case "decline", reason if reason in set(map(str, NO)):
            return Order("decline", reason=reason)
    return None
