"""Accounts for places of help: the desk's client asks for one, and gets its person's link.

An account that somebody has enrolled in is nobody else's to ask for by its name: only its subject,
and the place of help that it is of, lets its person enrol anew.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

from deploy.local.issuer.pages import read_form
from deploy.local.issuer.store import Account

if TYPE_CHECKING:
    from starlette.requests import Request

    from deploy.local.issuer.clients import Client
    from deploy.local.issuer.people import People

ROLE: Final = "provider_worker"
"""The one role for which an account can be asked for."""

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{2,39}")
PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


def is_client(request: Request, client: Client) -> bool:
    """Say whether a request brings a client's id and secret (`client_secret_basic`)."""
    scheme, _, told = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, secret = base64.b64decode(told.encode(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return False
    known = scheme.lower() == "basic" and name == client.client_id
    return client.check_client_secret(secret) and known


async def invite(request: Request, client: Client, people: People, url: str) -> Response:
    """Answer 201 with the subject of an account and the link by which its person enrols."""
    if not is_client(request, client):
        return JSONResponse({"error": "invalid_client"}, 401, _NOT_KEPT)
    form = dict(await read_form(request))
    login, subject, org = (form.get(name, "") for name in ("login", "subject", "org"))
    if not PROVIDER.fullmatch(org) or not (subject or NAME.fullmatch(login)):
        return JSONResponse({"error": "invalid_request"}, 400, _NOT_KEPT)
    known = await people.store.find_account(subject=subject, login=login)
    if known is None and subject:
        return JSONResponse({"error": "invalid_request"}, 400, _NOT_KEPT)
    if known is not None:
        account, enrolled = known
        theirs = account.role == ROLE and account.org == org
        if not theirs or (enrolled and not subject):
            return JSONResponse({"error": "taken"}, 409, _NOT_KEPT)
    else:
        account = Account(secrets.token_hex(6), login, ROLE, org, (), ())
    link = await people.invite(account)
    return JSONResponse({"subject": account.id, "link": f"{url}/enrol/{link}"}, 201, _NOT_KEPT)
