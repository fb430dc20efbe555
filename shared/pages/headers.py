"""The headers of every page: nothing from elsewhere, nothing inline, nothing kept."""

from __future__ import annotations

from typing import Final

_SOURCES: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self' data:",
    "media-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
)

POLICY: Final = "; ".join(_SOURCES)

_COMMON: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

PUBLIC: Final = {
    **_COMMON,
    "Cache-Control": "no-store",
    "Permissions-Policy": "geolocation=(), browsing-topics=()",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
"""Of pages that anybody may open: no other site learns where the reader came from."""

INSIDE: Final = {**PUBLIC, "Referrer-Policy": "same-origin"}
"""Of pages for people who signed in: a form says that it came from our own page."""

ASSET: Final = {
    **_COMMON,
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}
"""Of files whose address changes with their content."""
