"""HTTP Digest (RFC 7616; qop auth, MD5 and SHA-256), as OpenRosa asks for it. Purely.

Passwords are made, never chosen: 100 bits that follow from a key and the user name, so that none is
stored, and MD5 will do where an app knows nothing else. A nonce is a time that we signed: every
process knows it, for `LASTS` seconds. It may come again: a request that is repeated does nothing
twice. As ever with Digest, the body is not covered: that is what TLS is for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

if TYPE_CHECKING:
    from collections.abc import Callable

REALM: Final = "Pashe"

LASTS: Final = 600
"""Seconds for which a nonce is taken; an app then gets a new one and asks again by itself."""

ALGORITHMS: Final = ("MD5", "SHA-256")
"""In this order: Collect takes the first challenge, and OpenRosa itself promises MD5 alone."""

LONGEST: Final = 2000
"""Characters of an Authorization header that are looked at."""

_PASSWORD: Final = 20
_BAD: Final = (ValueError, IndexError, KeyError)


class NotProvenError(Exception):
    """The header proves nobody; `stale`: it did, with a nonce that is too old."""

    def __init__(self, *, stale: bool = False) -> None:
        """Keep whether only the nonce is too old."""
        super().__init__()
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Digest:
    """Challenges and checks with a key of its own."""

    key: bytes

    def password(self, username: str) -> str:
        """Return the password of a user name: four groups of five letters and digits."""
        letters = base64.b32encode(self._mac("password", username)).decode().lower()[:_PASSWORD]
        return "-".join(letters[n : n + 5] for n in range(0, _PASSWORD, 5))

    def challenges(self, at: float, *, stale: bool = False) -> list[str]:
        """Return the values of `WWW-Authenticate`, one for each algorithm."""
        nonce = self.nonce(at)
        return [
            f'Digest realm="{REALM}", domain="/", qop="auth", algorithm={algorithm},'
            f' nonce="{nonce}"' + (", stale=true" if stale else "")
            for algorithm in ALGORITHMS
        ]

    def nonce(self, at: float) -> str:
        """Make a nonce of now."""
        told = f"{int(at):x}.{secrets.token_hex(8)}"
        return f"{told}.{self._mac('nonce', told).hex()[:32]}"

    def prove(self, header: str, method: str, target: str, at: float) -> str:
        """Return the user name that an Authorization header proves for this request.

        `target` is the path with its query, as it was sent.

        Raises:
            NotProvenError: it proves none, or did so with an old nonce.

        """
        try:
            scheme, _, told = header[:LONGEST].partition(" ")
            given = parse_keqv_list(parse_http_list(told))
            if scheme.lower() != "digest" or not _is_of(given["uri"], target):
                raise NotProvenError
            expected = self._response(given, method)
            if not hmac.compare_digest(expected.encode(), given["response"].lower().encode()):
                raise NotProvenError
            self._check_nonce(given["nonce"], at)
            return given["username"]
        except _BAD:
            raise NotProvenError from None

    def _response(self, given: dict[str, str], method: str) -> str:
        name = given.get("algorithm", "MD5").upper()
        if name not in ALGORITHMS or given["qop"] != "auth":
            raise NotProvenError
        h = _hash(name)
        username, uri = given["username"], given["uri"]
        secret = h(f"{username}:{REALM}:{self.password(username)}")
        parts = (secret, given["nonce"], given["nc"], given["cnonce"], "auth", h(f"{method}:{uri}"))
        return h(":".join(parts))

    def _check_nonce(self, nonce: str, at: float) -> None:
        told, _, mac = nonce.rpartition(".")
        if not hmac.compare_digest(self._mac("nonce", told).hex()[:32].encode(), mac.encode()):
            raise NotProvenError(
                stale=True
            )  # of another key, or of nobody: with a new one it will do
        if not 0 <= at + 1 - int(told.partition(".")[0], 16) <= LASTS:
            raise NotProvenError(stale=True)

    def _mac(self, of: str, told: str) -> bytes:
        said = f"pashe openrosa {of} {told}".encode("utf-8", "replace")
        return hmac.new(self.key, said, hashlib.sha256).digest()


def _hash(name: str) -> Callable[[str], str]:
    make = hashlib.sha256 if name == "SHA-256" else hashlib.md5
    return lambda text: make(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _is_of(uri: str, target: str) -> bool:
    """Say whether a digest's uri, which may be absolute, is what was asked for."""
    parts = urlsplit(uri)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return target in (uri, path)
