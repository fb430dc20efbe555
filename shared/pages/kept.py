"""What a form's answer hands to the page after it, once: sealed, in a cookie that the page takes.

A form that was taken sends the browser on (303): going back or reloading sends nothing again. What
the next page shows and no address may hold (a receipt, what somebody asked to see) goes this way.
AES-256-GCM under a key of its own, bound to who asked, to what it is and to its time.
"""

from __future__ import annotations

import base64
import binascii
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.clock import now
from shared.cookies import cookie_name, is_https

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from shared.access import Caller

LASTS: Final = timedelta(minutes=5)
"""How long the next page may take to come: somebody may have to prove again who they are."""

LARGEST: Final = 3_600
"""Characters of a cookie that every browser keeps."""

_STAMP: Final = 8
_NONCE: Final = 12

T = TypeVar("T")


class Kept:
    """Keeps values from a form's answer for the page after it."""

    def __init__(self, secret: bytes, public_url: str, clock: Callable[[], datetime] = now) -> None:
        """Take a secret that all processes of the service have, the origin, and the clock."""
        key = HKDF(SHA256(), 32, salt=None, info=b"pashe kept for the next page").derive(secret)
        self._box = AESGCM(key)
        self.origin = public_url
        self._clock = clock

    def keep(self, response: Response, what: str, caller: Caller, value: object) -> None:
        """Give a value to the next page of the same person.

        Raises:
            ValueError: it is too large for a cookie.

        """
        stamp = int(self._clock().timestamp()).to_bytes(_STAMP, "big")
        nonce = os.urandom(_NONCE)
        bound = self._bound(what, caller, stamp)
        sealed = self._box.encrypt(nonce, msgspec.json.encode(value), bound)
        text = base64.urlsafe_b64encode(stamp + nonce + sealed).decode("ascii")
        if len(text) > LARGEST:
            message = "too much for the next page"
            raise ValueError(message)
        response.set_cookie(
            self._name(what),
            text,
            max_age=int(LASTS.total_seconds()),
            path="/",
            secure=is_https(self.origin),
            httponly=True,
            samesite="lax",
        )

    def find(self, request: Request, what: str, caller: Caller, kind: type[T]) -> T | None:
        """Return what was kept; None when there is nothing, it is another's, or too old."""
        try:
            raw = base64.urlsafe_b64decode(request.cookies.get(self._name(what), "").encode())
        except (ValueError, binascii.Error):
            return None
        stamp, nonce, sealed = raw[:_STAMP], raw[_STAMP : _STAMP + _NONCE], raw[_STAMP + _NONCE :]
        if len(nonce) < _NONCE:
            return None
        if datetime.fromtimestamp(int.from_bytes(stamp, "big"), UTC) + LASTS < self._clock():
            return None
        try:
            plain = self._box.decrypt(nonce, sealed, self._bound(what, caller, stamp))
            return msgspec.json.decode(plain, type=kind)
        except (InvalidTag, msgspec.MsgspecError):
            return None

    def drop(self, response: Response, what: str) -> None:
        """Let the page that took it be the only one."""
        response.delete_cookie(
            self._name(what), path="/", secure=is_https(self.origin), httponly=True, samesite="lax"
        )

    def _name(self, what: str) -> str:
        return cookie_name(self.origin, what)

    @staticmethod
    def _bound(what: str, caller: Caller, stamp: bytes) -> bytes:
        return stamp + f"{what} {caller.actor}".encode()
