"""`notification.push`: wakes the phone or browser of whoever is on duty, without a word.

A push has no content at all (RFC 8030): the browser shows the neutral line that it was given when
it subscribed, so the push service learns that something happened and not what. We say who we are by
VAPID (RFC 8292). A push service is one of a list, so that no roster sends us into our own network.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.notification.person_notifier import PersonNotifier
from shared.clock import now
from shared.errors import SettingsError
from shared.sms import Asks, Outcome, Refused, Sent
from shared.sms.gateway import BAD_NUMBER
from shared.sms.making import check_url
from shared.sms.wire import Call, Lost, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.notification.carrier import Message
    from services.notification.notifiers import Desk, Notifier
    from shared.sms import Fate, Question

SERVICES: Final = (
    "fcm.googleapis.com,updates.push.services.mozilla.com,.push.apple.com,.notify.windows.com"
)
"""Where browsers subscribe; a name that begins with a dot stands for all below it."""

TTL: Final = 900
"""Seconds that a push service keeps a push for a phone that is off: as long as a page is useful."""

TOKEN: Final = timedelta(hours=1)
"""How long a VAPID token is good for."""

_KEY: Final = 32
_GONE: Final = (404, 410)


@dataclass(frozen=True, slots=True)
class PushSettings:
    """Our key (P-256), a way to reach us (`mailto:` or `https:`), and known push services."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    subject: str
    services: tuple[str, ...]
    timeout: timedelta = timedelta(seconds=15)


class WebPush:
    """Web push as a carrier; an address is the endpoint of a browser's subscription."""

    name: Final = "webpush"
    asks: Final = Asks.NOTHING

    def __init__(self, settings: PushSettings, clock: Callable[[], datetime] = now) -> None:
        """Take the settings and the clock of the tokens."""
        self._settings = settings
        self._clock = clock
        self._wire = Wire(settings.timeout)
        public = settings.key.public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._public = base64.urlsafe_b64encode(point).rstrip(b"=").decode("ascii")

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Push nothing to an endpoint."""
        del message, key
        if not self._is_known(address):
            return Refused(BAD_NUMBER)
        found = await self._wire.ask(
            lambda: Call(
                "POST",
                address,
                authorization=f"vapid t={self._token(address)}, k={self._public}",
                headers=(("ttl", str(TTL)), ("urgency", "high"), ("content-length", "0")),
                reads=False,
            )
        )
        if isinstance(found, Lost):
            return found.outcome()
        if found.status in _GONE:
            return Refused(BAD_NUMBER, status=found.status)
        return found.refusal() or Sent(None, found.status)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: a push service tells no more."""
        del question
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    def _is_known(self, endpoint: str) -> bool:
        try:
            check_url(endpoint, "endpoint")
            host = urlsplit(endpoint).hostname or ""
        except (SettingsError, ValueError):
            return False
        return any(
            host == name or (name.startswith(".") and host.endswith(name))
            for name in self._settings.services
        )

    def _token(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int((self._clock() + TOKEN).timestamp()),
            "sub": self._settings.subject,
        }
        return jwt.encode(claims, self._settings.key, algorithm="ES256")


def load_settings(env: Mapping[str, str] | None = None) -> PushSettings | None:
    """Read the settings; None without `PUSH_KEY` (a P-256 private key, 32 bytes in base64url).

    With it `PUSH_SUBJECT` is needed; `PUSH_SERVICES` may name other push services.

    Raises:
        SettingsError: a variable is wrong or missing.

    """
    source = os.environ if env is None else env
    written = source.get("PUSH_KEY", "")
    if not written:
        return None
    try:
        raw = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
        key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    except ValueError:
        raise SettingsError("PUSH_KEY is no P-256 key in base64url") from None
    if len(raw) != _KEY:
        raise SettingsError("PUSH_KEY is not 32 bytes")
    subject = source.get("PUSH_SUBJECT", "")
    if not subject.startswith(("mailto:", "https:")):
        raise SettingsError("PUSH_SUBJECT is neither mailto: nor https:")
    services = (source.get("PUSH_SERVICES") or SERVICES).split(",")
    return PushSettings(key, subject, tuple(one.strip() for one in services if one.strip()))


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of pushes."""
    settings = load_settings()
    return PersonNotifier(desk, "push", None if settings is None else WebPush(settings))
