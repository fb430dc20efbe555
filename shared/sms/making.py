"""Which SMS gateway a process has, from its environment; read once, at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.sms.external import BODY, FORM, External, ExternalSettings
from shared.sms.file import FileOutbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.sms.gateway import Gateway

LONGEST: Final = 120.0
"""Seconds that one exchange with a gateway may take at most."""


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """One of the two: how to reach the external gateway, or the folder of the file outbox."""

    external: ExternalSettings | None = None
    outbox: Path | None = None


def load_sms_settings(env: Mapping[str, str] | None = None) -> SmsSettings | None:
    """Read which gateway there is; None when none is configured.

    `SMS_EXTERNAL_URL` chooses the external gateway, described by `SMS_EXTERNAL_METHOD` (`POST`,
    `GET`), `_BODY` (template), `_CONTENT_TYPE`, `_MAX_LENGTH` (characters), `_SUCCESS` (statuses
    with commas between; empty: any 2xx), `_CHECK` (text in the answer), `_SENDER`,
    `_AUTHORIZATION` (header), `_TIMEOUT` (seconds). Else `SMS_OUTBOX_DIR` is the file outbox's
    folder.

    Raises:
        SettingsError: a variable is wrong; the message names it, never its value.

    """
    source = os.environ if env is None else env
    if url := source.get("SMS_EXTERNAL_URL", ""):
        return SmsSettings(external=_external(url, source))
    if folder := source.get("SMS_OUTBOX_DIR", ""):
        return SmsSettings(outbox=Path(folder))
    return None


def make_gateway(settings: SmsSettings | None) -> Gateway | None:
    """Make the gateway that is configured; None when there is none."""
    if settings is None:
        return None
    if settings.external is not None:
        return External(settings.external)
    return None if settings.outbox is None else FileOutbox(settings.outbox)


def _external(url: str, source: Mapping[str, str]) -> ExternalSettings:
    def told(name: str, default: str) -> str:
        return source.get(f"SMS_EXTERNAL_{name}") or default

    _check_url(url)
    method = told("METHOD", "POST").upper()
    if method not in ("GET", "POST"):
        raise SettingsError("SMS_EXTERNAL_METHOD is neither GET nor POST")
    try:
        max_length = int(told("MAX_LENGTH", "640"))
        success = frozenset(int(word) for word in told("SUCCESS", "").split(",") if word.strip())
        timeout = float(told("TIMEOUT", "15"))
    except ValueError:
        raise SettingsError("SMS_EXTERNAL_MAX_LENGTH, _SUCCESS or _TIMEOUT is no number") from None
    if max_length < 1 or not 0 < timeout <= LONGEST:
        raise SettingsError("SMS_EXTERNAL_MAX_LENGTH or _TIMEOUT is out of range")
    content_type, authorization = told("CONTENT_TYPE", FORM), told("AUTHORIZATION", "")
    if not (content_type.isascii() and authorization.isascii()) or "\n" in authorization:
        raise SettingsError("SMS_EXTERNAL_CONTENT_TYPE or _AUTHORIZATION is no header")
    return ExternalSettings(
        url=url,
        method=method,
        body=told("BODY", BODY),
        content_type=content_type,
        max_length=max_length,
        success=success,
        check=told("CHECK", ""),
        sender=told("SENDER", ""),
        authorization=authorization,
        timeout=timedelta(seconds=timeout),
    )


def _check_url(url: str) -> None:
    """Refuse a URL that would carry numbers in clear beyond one's own network."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or not url.isascii() or parts.scheme not in ("http", "https"):
        raise SettingsError("SMS_EXTERNAL_URL is not an address of the web")
    if parts.scheme == "http" and not _is_near(host):
        raise SettingsError("SMS_EXTERNAL_URL must be https, or an own address (10.…, 127.…)")


def _is_near(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private or address.is_loopback
