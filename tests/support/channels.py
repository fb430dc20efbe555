"""A report over each channel, as its gateway, page or system sends it, and senders of it.

A channel that joins `NAMES` adds to `Reports` how it is reported by; else the test of kills fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import NAMESPACE_OID, uuid5

from shared.sms.proof import sign_twilio
from shared.vocabulary import Role
from tests.bench.figures import percentile
from tests.bench.wire import WireError, ask, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.stack import Stack

FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
JSON: Final = {"content-type": "application/json"}
PEOPLE: Final = ("01700000011", "01700000012", "01700000013")
RETRY: Final = 0.2
"""Seconds after which a gateway tries again what was not taken."""

TWILIO, WHATSAPP = "a test token", "appsecret"
SETTINGS: Final = {"TWILIO_AUTH_TOKEN": TWILIO, "WHATSAPP_APP_SECRET": WHATSAPP}
"""What a stack must be told, so that what is sent here is let in."""

INVENTED: Final = "An invented report."


class Reports:
    """Makes the requests of one report by channel; `mark` makes it this one and no other.

    A report is one request, or several in their order (a call begins, and ends). Sent again, it is
    the same report.
    """

    def __init__(self, stack: Stack) -> None:
        """Take the stack for its public address, and for whom it lets in."""
        self._origin = stack.origin
        self._member = stack.bearer(Role.COMMITTEE_MEMBER)
        self._operator = stack.bearer(Role.OPERATOR, "example-line")
        self._partner = stack.bearer(Role.PARTNER, "example-importer")
        self._writers: dict[str, int] = {}
        self.by: Mapping[str, Callable[[str], tuple[bytes, ...]]] = {
            "web": self._web,
            "sms": self._sms,
            "ussd": self._ussd,
            "voice": self._voice,
            "whatsapp": self._whatsapp,
            "openrosa": self._openrosa,
            "committee": self._committee,
            "helpline": self._helpline,
            "partner": self._file,
        }

    def _web(self, mark: str) -> tuple[bytes, ...]:
        body = {"channel": "web", "narrative": INVENTED}
        return (_post("/intake/v1/reports", body, {"idempotency-key": mark.ljust(24, "0")}),)

    def _sms(self, mark: str) -> tuple[bytes, ...]:
        number = PEOPLE[len(mark) % len(PEOPLE)]
        form = urlencode({"from": number, "text": "amar bon k niye geche", "id": mark}).encode()
        return (request("POST", "/intake/channels/sms/external", FORM, form),)

    def _ussd(self, mark: str) -> tuple[bytes, ...]:
        form = {"sessionId": mark, "phoneNumber": f"+88{PEOPLE[0]}", "text": "1*2*9*9*9*9*0"}
        path = "/intake/channels/ussd/africastalking"
        return (request("POST", path, FORM, urlencode(form).encode()),)

    def _voice(self, mark: str) -> tuple[bytes, ...]:
        """Return a call that begins and ends without a digit."""
        form = {"CallSid": mark, "From": f"+88{PEOPLE[1]}"}
        made = []
        for path in ("/intake/channels/voice/twilio", "/intake/channels/voice/twilio/ended"):
            signature = sign_twilio(TWILIO, f"{self._origin}{path}", list(form.items()))
            headers = FORM | {"x-twilio-signature": signature}
            made.append(request("POST", path, headers, urlencode(form).encode()))
        return tuple(made)

    def _whatsapp(self, mark: str) -> tuple[bytes, ...]:
        """Return the first message of somebody who wrote never before."""
        who = self._writers.setdefault(mark, len(self._writers))
        text = {"from": f"88017{who:08}", "id": mark, "type": "text", "text": {"body": INVENTED}}
        message = text | {"timestamp": str(int(time.time()))}
        change = {"field": "messages", "value": {"messages": [message]}}
        body = json.dumps({"entry": [{"id": "1", "changes": [change]}]}).encode()
        digest = hmac.new(WHATSAPP.encode(), body, hashlib.sha256).hexdigest()
        headers = JSON | {"x-hub-signature-256": f"sha256={digest}"}
        return (request("POST", "/intake/channels/whatsapp", headers, body),)

    def _openrosa(self, mark: str) -> tuple[bytes, ...]:
        own = f"<meta><instanceID>uuid:{uuid5(NAMESPACE_OID, mark)}</instanceID></meta>"
        xml = f'<data id="pashe" version="1"><narrative>{INVENTED}</narrative>{own}</data>'
        part = 'content-disposition: form-data; name="xml_submission_file"; filename="form.xml"'
        body = f"--next\r\n{part}\r\n\r\n{xml}\r\n--next--\r\n".encode()
        headers = self._member | {"content-type": "multipart/form-data; boundary=next"}
        return (request("POST", "/intake/channels/openrosa/submission", headers, body),)

    def _committee(self, mark: str) -> tuple[bytes, ...]:
        item = {"id": str(uuid5(NAMESPACE_OID, mark)), "report": {"narrative": INVENTED}}
        return (_post("/intake/v1/committee/batches", {"items": [item]}, self._member),)

    def _helpline(self, mark: str) -> tuple[bytes, ...]:
        body = {"kind": "report", "report": {"narrative": INVENTED}}
        headers = self._operator | {"idempotency-key": mark.ljust(24, "0")}
        return (_post("/intake/v1/helpline/calls", body, headers),)

    def _file(self, mark: str) -> tuple[bytes, ...]:
        """Return a partner's file of one row."""
        headers = self._partner | {"content-type": "text/csv"}
        content = f"prs_FirstName\n{mark}\n".encode()
        return (request("POST", "/intake/v1/imports/htcds", headers, content),)


def _post(path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    return request("POST", path, {**JSON, **headers}, json.dumps(body).encode())


def is_taken(status: int, body: bytes) -> bool:
    """Tell whether an answer says that a report was stored; USSD answers 200 in any case."""
    return status < 300 and not any(sign in body for sign in (b'"later"', "এখন নেওয়া".encode()))


@dataclass(slots=True)
class Seen:
    """What the senders of one channel saw: seconds to each answer, and tries that failed."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        p50, p99 = (1000 * percentile(self.seconds, part) for part in (0.5, 0.99))
        counts = f"{len(self.seconds):6} taken, {self.failed:5} tries failed"
        return f"{counts}, p50 {p50:6.0f} ms, p99 {p99:6.0f} ms"


async def say(url: str, requests: tuple[bytes, ...], seen: Seen) -> None:
    """Send one report until it is taken, as a gateway does; measure the try that was."""
    while True:
        started = time.monotonic()
        with contextlib.suppress(OSError, WireError, TimeoutError):
            said = [await ask(url, one) for one in requests]
            if all(is_taken(one.status, one.body) for one in said):
                seen.seconds.append(time.monotonic() - started)
                return
        seen.failed += 1
        await asyncio.sleep(RETRY)


async def keep_saying(
    url: str,
    make: Callable[[str], tuple[bytes, ...]],
    marks: str,
    every: float,
    seconds: float,
    seen: Seen,
) -> int:
    """Send a report each `every` seconds, whatever becomes of those before; return how many."""
    clock = asyncio.get_running_loop().time
    start = clock()
    count = round(seconds / every)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(start + number * every - clock())
            group.create_task(say(url, make(f"{marks}-{number}"), seen))
    return count
