"""What proves that a request comes from a gateway: Twilio's signature, or a shared secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable


def sign_twilio(token: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return Twilio's signature: HMAC-SHA1 over the public URL and the sorted fields."""
    told = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), told.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def is_signed_by_twilio(
    token: str, url: str, signature: str | None, fields: Iterable[tuple[str, str]]
) -> bool:
    """Say whether Twilio signed this form for this public URL, in constant time.

    Twilio signs the URL with its port or without, whichever it was told.
    """
    said, pairs = (signature or "").encode("utf-8", "replace"), list(fields)
    signed = [sign_twilio(token, one, pairs).encode() for one in _with_and_without_port(url)]
    return any(hmac.compare_digest(one, said) for one in signed)


def is_secret(known: str, said: str) -> bool:
    """Compare a shared secret in constant time; an empty one fits nothing."""
    same = hmac.compare_digest(known.encode(), said.encode("utf-8", "replace"))
    return same and bool(known)


def _with_and_without_port(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.netloc.partition(":")[0]
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return tuple(parts._replace(netloc=place).geturl() for place in (host, f"{host}:{port}"))
