"""Lists page by an opaque cursor; changes name the version they were made on."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.errors import InvalidBody

if TYPE_CHECKING:
    from starlette.requests import Request

CommitPlace = tuple[int, int]
"""Place in a list in the order of commits: transaction id and row number; (0, 0) is before all."""

_MAX_BIGINT: Final = 2**63 - 1
_VERSION_DIGITS: Final = 9


def encode_cursor(value: object) -> str:
    """Make an opaque cursor of a JSON value."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> Any:  # noqa: ANN401
    """Return the value inside a cursor, or None without one.

    Raises:
        InvalidBody: it is not one of our cursors.

    """
    if not cursor:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.MsgspecError, ValueError, UnicodeEncodeError):
        message = "the cursor is not valid"
        raise InvalidBody(message) from None


def page(items: list[Any], after: object | None) -> dict[str, Any]:
    """Render a page of a list: `{"items": …, "next": cursor or null}`."""
    return {"items": items, "next": None if after is None else encode_cursor(after)}


def commit_place(cursor: str | None) -> CommitPlace:
    """Return the place that a cursor of a list in the order of commits holds.

    Raises:
        InvalidBody: it is not one of ours.

    """
    match decode_cursor(cursor):
        case None:
            return (0, 0)
        case [int(txid), int(seq)] if 0 <= txid <= _MAX_BIGINT and 0 <= seq <= _MAX_BIGINT:
            return (txid, seq)
        case _:
            raise InvalidBody("the cursor is not valid")


def version_of(request: Request) -> int | None:
    """Return the version named by If-Match, or None without one.

    Raises:
        InvalidBody: it is not a version.

    """
    value = request.headers.get("if-match", "").strip().removeprefix("W/").strip('"')
    if not value or value == "*":
        return None
    if not value.isascii() or not value.isdigit() or len(value) > _VERSION_DIGITS:
        raise InvalidBody("If-Match must hold a version number")
    return int(value)
