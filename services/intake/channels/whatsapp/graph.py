"""Sends a reply by WhatsApp's Graph API: once, never again, whatever becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from shared import telemetry
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT: Final = 10.0
"""Seconds that the answer may take."""

_log = Log("whatsapp")


@dataclass(frozen=True, slots=True)
class Graph:
    """Where replies go; `token` is a bearer token of the business account."""

    url: str
    token: str
    phone_number_id: str

    async def send(self, phone: str, scoped: str, content: Mapping[str, Any]) -> None:
        """Send one message to a number, or to a business-scoped id when there is no number."""
        to = {"to": phone.removeprefix("+")} if phone else {"recipient": scoped}
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **to,
            **content,
        }
        state = "unknown"
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
                answer = await client.post(
                    f"{self.url.rstrip('/')}/{self.phone_number_id}/messages",
                    json=body,
                    headers={"Authorization": f"Bearer {self.token}"},
                )
            state = "sent" if answer.is_success else "failed"
            if not answer.is_success:
                _log.warning("reply-refused", status=answer.status_code)
        except httpx.HTTPError as error:
            _log.error("reply-failed", error)
        telemetry.REPLIES.labels(state).inc()
