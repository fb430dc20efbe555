"""What our cookies are called; the browser holds them to it."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_https(public_url: str) -> bool:
    """Say whether the origin is served by TLS; only a trial on loopback is not."""
    return urlsplit(public_url).scheme == "https"


def cookie_name(public_url: str, what: str = "session") -> str:
    """Return the cookie's name; with TLS one that only this host itself can have set."""
    return f"__Host-pashe-{what}" if is_https(public_url) else f"pashe-{what}"
