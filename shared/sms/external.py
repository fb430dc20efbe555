"""The `external` gateway: any HTTP interface, described by templates as RapidPro's External has it.

`{{id}}`, `{{uuid}}` (the message's key), `{{text}}`, `{{to}}`, `{{to_no_plus}}`, `{{from}}`,
`{{from_no_plus}}` stand in the URL and the body. In the URL and in a form they are escaped for a
query, in XML for XML; in JSON they become whole JSON strings with their quotes, so a JSON template
has none around them. A message is one request, never divided: its parts are the gateway's work.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from shared.sms.gateway import Asks, Outcome, Refused, Sent, Unknown
from shared.sms.numbers import without_plus
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from shared.sms.gateway import Fate, Question

FORM: Final = "application/x-www-form-urlencoded"
BODY: Final = "id={{id}}&text={{text}}&to={{to}}&from={{from}}"
"""RapidPro's own template."""

_PLACE: Final = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """How the gateway is spoken to. `success` holds the statuses that mean taken; empty: any 2xx.

    `check` is a text that an answer must hold to mean taken, or empty. `timeout` is of the whole
    exchange. `authorization` and `sender` may be empty.
    """

    url: str
    method: str = "POST"
    body: str = BODY
    content_type: str = FORM
    max_length: int = 640
    success: frozenset[int] = frozenset()
    check: str = ""
    sender: str = ""
    authorization: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=15)


class External:
    """Speaks to one gateway as its templates say."""

    name: Final = "external"
    asks: Final = Asks.NOTHING

    def __init__(self, settings: ExternalSettings, tls: ssl.SSLContext | None = None) -> None:
        """Take the gateway's description; `tls` as `Wire` has it."""
        self._settings = settings
        self._wire = Wire(settings.timeout, tls)

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text; what is lost before the request was begun is refused, after it unknown."""
        settings = self._settings
        if len(text) > settings.max_length:
            return Refused("too-long")
        found = await self._wire.ask(lambda: self._call(number, text, key))
        if isinstance(found, Lost):
            return found.outcome()
        return self._judge(found)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: such a gateway tells by its callback alone."""
        del question
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    def _call(self, number: str, text: str, key: str) -> Call:
        settings = self._settings
        values = {
            "id": key,
            "uuid": key,
            "text": text,
            "to": number,
            "to_no_plus": without_plus(number),
            "from": settings.sender,
            "from_no_plus": without_plus(settings.sender),
        }
        posts = settings.method == "POST"
        body = fill(settings.body, values, escape_for(settings.content_type)) if posts else ""
        return Call(
            settings.method,
            fill(settings.url, values, quote_plus),
            body.encode(),
            settings.content_type if posts else "",
            settings.authorization,
            reads=bool(settings.check),
        )

    def _judge(self, answer: Answer) -> Outcome:
        settings = self._settings
        good = answer.status in settings.success if settings.success else answer.good
        if good:
            if settings.check and settings.check.encode() not in answer.body:
                return Unknown("unexpected-answer", answer.status)
            return Sent(None, answer.status)
        return answer.refusal() or Unknown("unexpected-answer", answer.status)


def fill(template: str, values: Mapping[str, str], escaped: Callable[[str], str]) -> str:
    """Put values into a template's `{{names}}`; an unknown name becomes an empty text."""
    return _PLACE.sub(lambda place: escaped(values.get(place[1], "")), template)


def escape_for(content_type: str) -> Callable[[str], str]:
    """Return how a value is written in a body of this content type; a query's way by default."""
    if "json" in content_type:
        return lambda value: json.dumps(value, ensure_ascii=False)
    if "xml" in content_type:
        return lambda value: escape(value, {'"': "&quot;", "'": "&apos;"})
    return quote_plus
