"""Logins of committee members for an app that fills forms: made, listed, ended, proven.

A login is a user name that stands for a member as they were signed in when they made it; its
password follows from a key (`digest`) and is stored nowhere. Whoever has it can send reports as
that member for `LASTS`, and read nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.channels.openrosa.digest import Digest
from shared.access import Caller, caller_of
from shared.errors import Conflict, NotFound
from shared.lean import text
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

LASTS: Final = timedelta(days=180)
"""How long a login lasts; a member then makes a new one."""

MOST: Final = 5
"""Logins of one member at once: one a phone."""

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class Login:
    """A login as it is listed; `subject` is the member's pseudonym."""

    username: str
    subject: str
    made_at: datetime
    expires_at: datetime


def make_digest(pepper: bytes) -> Digest:
    """Make the digest of this channel from the pepper that stands apart from the database."""
    return Digest(hmac.new(pepper, b"pashe openrosa logins", hashlib.sha256).digest())


async def make_login(conn: AsyncConnection, member: Caller, at: datetime) -> Login:
    """Make a login of a member.

    Raises:
        Conflict: the member has as many as one may have.

    """
    await conn.execute(text("DELETE FROM form_logins WHERE expires_at <= :at"), {"at": at})
    await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext($1))", (member.actor,))
    if len(await list_logins(conn, member.subject, at)) >= MOST:
        raise Conflict("end one of the logins first", most=MOST)
    username = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    made = Login(username, member.subject, at, at + LASTS)
    await conn.execute(
        text(
            "INSERT INTO form_logins (username, subject, claims, made_at, expires_at)"
            " VALUES (:u, :s, CAST(:c AS jsonb), :m, :e)"
        ),
        {
            "u": username,
            "s": member.subject,
            "c": msgspec.json.encode(_claims(member)).decode(),
            "m": made.made_at,
            "e": made.expires_at,
        },
    )
    return made


async def list_logins(
    conn: AsyncConnection, subject: str | None, at: datetime, after: str = "", limit: int = 200
) -> list[Login]:
    """Return the logins of a member, or of all, that can be used, by user name."""
    rows = await conn.execute(
        text(
            "SELECT username, subject, made_at, expires_at FROM form_logins WHERE expires_at > :at"
            " AND username > :after AND (CAST(:s AS text) IS NULL OR subject = :s)"
            " ORDER BY username LIMIT :n"
        ),
        {"at": at, "after": after, "s": subject, "n": limit},
    )
    return [Login(*row) for row in rows]


async def end_login(conn: AsyncConnection, username: str, subject: str | None) -> None:
    """End a login: the member's own, or anybody's when `subject` is None.

    Raises:
        NotFound: there is none such.

    """
    done = await conn.execute(
        text(
            "DELETE FROM form_logins WHERE username = :u"
            " AND (CAST(:s AS text) IS NULL OR subject = :s)"
        ),
        {"u": username, "s": subject},
    )
    if not done.rowcount:
        raise NotFound


async def find_member(conn: AsyncConnection, username: str, at: datetime) -> Caller | None:
    """Return the member that a login stands for; None when it has ended."""
    claims = await conn.scalar(
        text("SELECT claims FROM form_logins WHERE username = :u AND expires_at > :at"),
        {"u": username, "at": at},
    )
    return None if claims is None else caller_of(claims)


def settings_of(login: Login, password: str, url: str) -> str:
    """Return what an app reads from a QR code to be set up: base64 of zlib of JSON (ODK Collect).

    Sent forms are deleted from the phone: it may be a shared one.
    """
    told: Mapping[str, Any] = {
        "general": {
            "server_url": url,
            "username": login.username,
            "password": password,
            "form_update_mode": "match_exactly",
            "autosend": "wifi_and_cellular",
            "delete_send": True,
            "analytics": False,
        },
        "admin": {},
        "project": {"name": "পাশে"},
    }
    return base64.b64encode(zlib.compress(msgspec.json.encode(told))).decode()


def _claims(member: Caller) -> dict[str, Any]:
    return {
        "sub": member.subject,
        "role": str(Role.COMMITTEE_MEMBER),
        "org": member.org,
        "places": list(member.places),
        "member_of": [one.claim() for one in member.memberships],
    }
