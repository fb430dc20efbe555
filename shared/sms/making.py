"""Which SMS gateway a process has, from its environment; read once, at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.sms import infobip, sslwireless, twilio
from shared.sms.external import BODY, FORM, External, ExternalSettings
from shared.sms.file import FileOutbox

if TYPE_CHECKING:
    from shared.sms.gateway import Gateway

LONGEST: Final = 120.0
"""Seconds that one exchange with a gateway may take at most."""

Account = (
    ExternalSettings
    | twilio.TwilioSettings
    | infobip.InfobipSettings
    | sslwireless.SslWirelessSettings
    | Path
)
"""How a gateway is reached; a path is the folder of the file outbox."""

_Env = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """The gateway; `callback_secret` is the last part of where one tells that does not sign."""

    account: Account
    callback_secret: str = ""


def load_sms_settings(env: _Env | None = None) -> SmsSettings | None:
    """Read which gateway there is; None when none is configured.

    `SMS_GATEWAY` names it: `external`, `twilio`, `infobip`, `sslwireless`, `file`; without it,
    `SMS_EXTERNAL_URL` means the first and `SMS_OUTBOX_DIR` the last. The external one is described
    by `SMS_EXTERNAL_METHOD` (`POST`, `GET`), `_BODY` (template), `_CONTENT_TYPE`, `_MAX_LENGTH`
    (characters), `_SUCCESS` (statuses with commas between; empty: any 2xx), `_CHECK` (text in the
    answer), `_SENDER`, `_AUTHORIZATION` (header), `_TIMEOUT` (seconds); the others by
    `TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`, `TWILIO_SENDER`; `INFOBIP_URL`, `INFOBIP_KEY`,
    `INFOBIP_SENDER`; `SSLWIRELESS_TOKEN`, `SSLWIRELESS_SENDER`; and `SMS_TIMEOUT` (seconds).
    `SMS_CALLBACK_SECRET` proves an external gateway or Infobip when they tell of deliveries.

    Raises:
        SettingsError: a variable is wrong or missing; the message names it, never its value.

    """
    source = os.environ if env is None else env
    name = source.get("SMS_GATEWAY", "")
    if not name and source.get("SMS_EXTERNAL_URL"):
        name = "external"
    if not name and source.get("SMS_OUTBOX_DIR"):
        name = "file"
    if not name:
        return None
    if name not in _READERS:
        raise SettingsError("SMS_GATEWAY names no gateway")
    return SmsSettings(_READERS[name](source), source.get("SMS_CALLBACK_SECRET", ""))


def make_gateway(settings: SmsSettings | None, callbacks: str | None = None) -> Gateway | None:
    """Make the gateway, or None without settings; nothing is connected yet.

    `callbacks` is where gateways tell of deliveries, without the gateway's name; None: nowhere.
    """
    if settings is None:
        return None
    where = f"{callbacks}/{{}}" if callbacks else None
    match settings.account:
        case ExternalSettings() as external:
            return External(external)
        case twilio.TwilioSettings() as account:
            return twilio.Twilio(account, where.format("twilio") if where else None)
        case infobip.InfobipSettings() as account:
            secret = settings.callback_secret
            told = where.format(f"infobip/{secret}") if where and secret else None
            return infobip.Infobip(account, told)
        case sslwireless.SslWirelessSettings() as account:
            return sslwireless.SslWireless(account)
        case folder:
            return FileOutbox(folder)


def _needed(source: _Env, name: str) -> str:
    value = source.get(name, "")
    if not value or not value.isascii() or not value.isprintable():
        message = f"{name} is missing, or no plain text"
        raise SettingsError(message)
    return value


def _timeout(source: _Env, name: str = "SMS_TIMEOUT") -> timedelta:
    try:
        seconds = float(source.get(name) or "15")
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        message = f"{name} is no number of seconds up to {LONGEST:.0f}"
        raise SettingsError(message)
    return timedelta(seconds=seconds)


def _address(source: _Env, name: str, default: str = "") -> str:
    url = source.get(name) or default
    check_url(url, name)
    return url.rstrip("/")


def _twilio(source: _Env) -> Account:
    account = _needed(source, "TWILIO_ACCOUNT_SID")
    if not account.isalnum():
        raise SettingsError("TWILIO_ACCOUNT_SID is none")
    return twilio.TwilioSettings(
        account,
        _needed(source, "TWILIO_AUTH_TOKEN"),
        _needed(source, "TWILIO_SENDER"),
        _address(source, "TWILIO_URL", twilio.URL),
        _timeout(source),
    )


def _infobip(source: _Env) -> Account:
    return infobip.InfobipSettings(
        _address(source, "INFOBIP_URL"),
        _needed(source, "INFOBIP_KEY"),
        _needed(source, "INFOBIP_SENDER"),
        _timeout(source),
    )


def _sslwireless(source: _Env) -> Account:
    return sslwireless.SslWirelessSettings(
        _needed(source, "SSLWIRELESS_TOKEN"),
        _needed(source, "SSLWIRELESS_SENDER"),
        _address(source, "SSLWIRELESS_URL", sslwireless.URL),
        _timeout(source),
    )


def _file(source: _Env) -> Account:
    return Path(_needed(source, "SMS_OUTBOX_DIR"))


def _external(source: _Env) -> Account:
    def told(name: str, default: str) -> str:
        return source.get(f"SMS_EXTERNAL_{name}") or default

    url = told("URL", "")
    check_url(url, "SMS_EXTERNAL_URL")
    method = told("METHOD", "POST").upper()
    if method not in ("GET", "POST"):
        raise SettingsError("SMS_EXTERNAL_METHOD is neither GET nor POST")
    try:
        max_length = int(told("MAX_LENGTH", "640"))
        success = frozenset(int(word) for word in told("SUCCESS", "").split(",") if word.strip())
    except ValueError:
        raise SettingsError("SMS_EXTERNAL_MAX_LENGTH or _SUCCESS is no number") from None
    if max_length < 1:
        raise SettingsError("SMS_EXTERNAL_MAX_LENGTH is out of range")
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
        timeout=_timeout(source, "SMS_EXTERNAL_TIMEOUT"),
    )


_READERS: Final = {
    "external": _external,
    "twilio": _twilio,
    "infobip": _infobip,
    "sslwireless": _sslwireless,
    "file": _file,
}


def check_url(url: str, name: str) -> None:
    """Refuse a URL that would carry numbers in clear beyond one's own network.

    Raises:
        SettingsError: it is no address of the web, or http to somewhere else; `name` is said.

    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or not url.isascii() or parts.scheme not in ("http", "https"):
        message = f"{name} is not an address of the web"
        raise SettingsError(message)
    if parts.scheme == "http" and not _is_near(host):
        message = f"{name} must be https, or an own address (10.…, 127.…)"
        raise SettingsError(message)


def _is_near(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private or address.is_loopback
