"""`notification.email`: tells workers of providers by plain mail; never a person of a case."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

import aiosmtplib

from services.notification.person_notifier import PersonNotifier
from shared.clock import now
from shared.errors import SettingsError
from shared.sms import Asks, Outcome, Refused, Sent, Unknown
from shared.sms.gateway import BAD_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.notification.carrier import Message
    from services.notification.notifiers import Desk, Notifier
    from shared.sms import Fate, Question

Security = Literal["tls", "starttls", "none"]

PORTS: Final[Mapping[str, int]] = {"tls": 465, "starttls": 587, "none": 25}
"""The usual port of each way to a mail server."""

_PERMANENT: Final = 500
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """A mail server. `sender` is an address; `security` `none` is for a server beside us."""

    host: str
    port: int
    sender: str
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=30)


class Smtp:
    """A mail server as a carrier; a connection serves one mail."""

    name: Final = "smtp"
    asks: Final = Asks.NOTHING

    def __init__(
        self,
        settings: SmtpSettings,
        clock: Callable[[], datetime] = now,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the server, the clock of `Date`, and whom to trust (the public authorities)."""
        self._settings = settings
        self._clock = clock
        self._tls = tls or ssl.create_default_context()

    @property
    def exchange(self) -> timedelta:
        """How long one mail may take."""
        return self._settings.timeout

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Send one mail; until its words are on their way it is certainly not sent."""
        mail = self._write(address, message, key)
        if mail is None:
            return Refused("malformed")
        begun = False
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                client = self._client()
                try:
                    await client.connect()
                    await client.mail(self._settings.sender)
                    await client.rcpt(address)
                    begun = True
                    await client.data(mail.as_bytes())
                    return Sent(key)
                finally:
                    client.close()
        except aiosmtplib.SMTPRecipientRefused as error:
            return _refused(error.code, BAD_NUMBER)
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPSenderRefused) as error:
            return _refused(error.code, "refused")
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            return Unknown("timeout") if begun else Refused("timeout", again=True)
        except (aiosmtplib.SMTPException, OSError):
            return Unknown("connection") if begun else Refused("connection", again=True)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: a mail that comes back comes to a person."""
        del question
        return None

    async def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.user or None,
            password=settings.password or None,
            timeout=settings.timeout.total_seconds(),
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=None if settings.security == "none" else self._tls,
        )

    def _write(self, address: str, message: Message, key: str) -> EmailMessage | None:
        """Write the mail; None when the template is no letter, or the address is none."""
        if message.letter is None or not _ADDRESS.fullmatch(address):
            return None
        mail = EmailMessage()
        mail["From"] = self._settings.sender
        mail["To"] = address
        mail["Subject"] = message.letter.subject
        mail["Date"] = format_datetime(self._clock())
        mail["Message-ID"] = f"<{key}@{self._settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = message.language
        mail.set_content(message.letter.body, cte="base64")
        return mail


def _refused(code: int, reason: str) -> Refused:
    if code < _PERMANENT:
        return Refused("busy", again=True, status=code)
    return Refused(reason, status=code)


def load_settings(env: Mapping[str, str] | None = None) -> SmtpSettings | None:
    """Read the mail server; None without `EMAIL_HOST`.

    With it `EMAIL_FROM` is needed; `EMAIL_PORT`, `EMAIL_SECURITY` (`starttls`, `tls`, or `none` for
    a server on this machine), `EMAIL_USER`, `EMAIL_PASSWORD` may be set.

    Raises:
        SettingsError: a variable is wrong or missing.

    """
    source = os.environ if env is None else env
    host = source.get("EMAIL_HOST", "")
    if not host:
        return None
    sender = source.get("EMAIL_FROM", "")
    if not sender.isascii() or parseaddr(sender) != ("", sender) or "@" not in sender:
        raise SettingsError("EMAIL_FROM is no address")
    security = source.get("EMAIL_SECURITY") or "starttls"
    if security not in get_args(Security):
        raise SettingsError("EMAIL_SECURITY is none of starttls, tls, none")
    if security == "none" and host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingsError("EMAIL_SECURITY none is for a server on this machine")
    port = source.get("EMAIL_PORT") or str(PORTS[security])
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004  (ports)
        raise SettingsError("EMAIL_PORT is no port")
    return SmtpSettings(
        host,
        int(port),
        sender,
        cast("Security", security),
        source.get("EMAIL_USER", ""),
        source.get("EMAIL_PASSWORD", ""),
    )


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of mail."""
    settings = load_settings()
    return PersonNotifier(desk, "email", None if settings is None else Smtp(settings))
