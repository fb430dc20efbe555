"""Signs a browser in without an issuer: a session as intake signs it, in its cookie."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.access import BY_KEY
from shared.access_rules import memberships_for, needs_training
from shared.cookies import cookie_name
from shared.membership import Training
from shared.sessions import make_session

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

    from shared.vocabulary import Role
    from tests.support.stack import Stack


async def sign_in(
    context: BrowserContext,
    stack: Stack,
    role: Role,
    org: str | None = None,
    subject: str = "b1",
    *,
    since: int = 0,
    trained: bool = True,
    place: str | None = None,
) -> str:
    """Give a browser the session of somebody who signed in `since` seconds ago; return the cookie.

    It lasts as one that began now. `place` is the P-code of their membership.
    """
    seed = bytes.fromhex((stack.home / "keys" / "intake" / "sessions.key").read_text().strip())
    claims: dict[str, Any] = {
        "sub": subject,
        "role": str(role),
        "org": org,
        "member_of": [replace(one, place=place).claim() for one in memberships_for(role)],
        "auth_time": int(time.time()) - since,
        "amr": [BY_KEY, "otp"] if not since else ["pwd", "otp"],
        "sid": uuid4().hex,
    }
    if trained and (module := needs_training(role)):
        claims["trained"] = [Training(module, date.max).claim()]
    value = make_session(seed, claims)
    await context.add_cookies(
        [
            {
                "name": cookie_name(stack.origin),
                "value": value,
                "url": stack.origin,
                "httpOnly": True,
                "sameSite": "Lax",
            }
        ]
    )
    return value
