"""`/intake/v1/openrosa/logins`: a committee member makes a login for an app that fills forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, Response

from services.intake.channels.openrosa import logins
from shared.access import Caller, require
from shared.access_rules import is_member
from shared.clock import now
from shared.errors import Forbidden, InvalidBody
from shared.paging import decode_cursor, page
from shared.text import is_clean
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.channels.openrosa.digest import Digest
    from shared.runtime import Service

_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_Member = Annotated[Caller, Depends(require(Role.COMMITTEE_MEMBER))]
_Whoever = Annotated[
    Caller, Depends(require(Role.COMMITTEE_MEMBER, Role.COORDINATOR, Role.SUPERVISOR))
]


def make_login_router(service: Service, digest: Digest, url: str) -> APIRouter:
    """Make the routes; `url` is the server's address as an app is given it."""
    router = APIRouter(prefix="/intake/v1/openrosa/logins", tags=["openrosa"])

    @router.post("", status_code=201, response_model=None)
    async def make(caller: _Member) -> Response:
        """Make a login: user name and password, shown this once, and `settings` for a QR code."""
        if not is_member(caller, now()):
            raise Forbidden
        async with service.flow.begin() as conn:
            login = await logins.make_login(conn, caller, now())
        password = digest.password(login.username)
        told = _told(login) | {
            "password": password,
            "server_url": url,
            "settings": logins.settings_of(login, password, url),
        }
        return JSONResponse(msgspec.to_builtins(told), 201, headers=_NOT_KEPT)

    @router.get("", response_model=None)
    async def show(
        caller: _Whoever,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """List logins that can be used: a member's own, all for the desk. No password is shown."""
        place = decode_cursor(after) or ""
        if not isinstance(place, str) or not is_clean(place):
            raise InvalidBody("the cursor is not valid")
        async with service.flow.connect() as conn:
            found = await logins.list_logins(conn, _own(caller), now(), place, limit)
        last = found[-1].username if len(found) == limit else None
        told = page([_told(one) for one in found], last)
        return JSONResponse(msgspec.to_builtins(told), headers=_NOT_KEPT)

    @router.delete("/{username}", status_code=204, response_model=None)
    async def end(
        username: Annotated[str, Path(pattern=r"^[a-z0-9]{1,40}$")], caller: _Whoever
    ) -> Response:
        """End a login at once, as for a lost phone: one's own, or any for the desk."""
        async with service.flow.begin() as conn:
            await logins.end_login(conn, username, _own(caller))
        return Response(status_code=204)

    return router


def _own(caller: Caller) -> str | None:
    return caller.subject if caller.role is Role.COMMITTEE_MEMBER else None


def _told(login: logins.Login) -> dict[str, Any]:
    return {
        "username": login.username,
        "member": login.subject,
        "made_at": login.made_at,
        "expires_at": login.expires_at,
    }
