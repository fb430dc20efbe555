"""What gateways say of deliveries, purely: read after it was proved, and never believed further.

A number, a text or a name that stands there is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from shared.sms import Fate, infobip, twilio
from shared.sms.gateway import BAD_NUMBER, BOUNCED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXTERNAL: Final = {
    "sent": Fate.SENT,
    "delivered": Fate.DELIVERED,
    "failed": Fate.FAILED,
    "bounced": Fate.FAILED,
}
"""The last part of the path that an external gateway posts to; `bounced`: the number is wrong."""

CALLS: Final = {
    "completed": Fate.DELIVERED,
    "busy": Fate.FAILED,
    "no-answer": Fate.FAILED,
    "failed": Fate.FAILED,
    "canceled": Fate.FAILED,
}
"""What Twilio's statuses of a call mean for what it said; the others mean nothing yet."""

WHATSAPP: Final = {
    "sent": Fate.SENT,
    "delivered": Fate.DELIVERED,
    "read": Fate.DELIVERED,
    "failed": Fate.FAILED,
}

_NO_SUCH_CONTACT: Final = 131026
"""WhatsApp's code for a number that cannot get messages."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one notice that went by `way`; `reason` only when it failed."""

    notice_id: UUID
    fate: Fate
    reason: str | None = None
    way: str = "sms"


def hear_twilio(query: Mapping[str, str], form: Mapping[str, str]) -> list[Heard]:
    """Read a status of a message or of a call; which notice it is stands in our own URL."""
    notice_id, way = _uuid(query.get("notice")), "call" if "CallStatus" in form else "sms"
    if way == "call":
        fate = CALLS.get(form["CallStatus"])
    else:
        fate = twilio.FATES.get(form.get("MessageStatus", ""))
    if notice_id is None or fate is None:
        return []
    reason = None
    if fate is Fate.FAILED:
        reason = twilio.fault_of(form.get("ErrorCode"), form.get("CallStatus", "undelivered"))
    return [Heard(notice_id, fate, reason, way)]


def hear_infobip(body: Any) -> list[Heard]:  # noqa: ANN401  (any JSON value)
    """Read a batch of delivery reports; our key is the message's id."""
    return list(_infobip(body))


def _infobip(body: Any) -> Iterator[Heard]:  # noqa: ANN401  (any JSON value)
    for one in _items(body, "results"):
        notice_id, fate = _uuid(one.get("messageId")), infobip.fate_of(one)
        if notice_id is not None and fate is not None:
            reason = BOUNCED if _is_permanent(one.get("error")) else "undelivered"
            yield Heard(notice_id, fate, reason if fate is Fate.FAILED else None)


def _is_permanent(error: object) -> bool:
    return isinstance(error, dict) and error.get("permanent") is True


def hear_external(status: str, fields: Mapping[str, str]) -> list[Heard]:
    """Read what an external gateway says: the status in the path, our key as `id` or `uuid`."""
    notice_id, fate = _uuid(fields.get("id") or fields.get("uuid")), EXTERNAL.get(status)
    if notice_id is None or fate is None:
        return []
    reason = BOUNCED if status == "bounced" else "undelivered"
    return [Heard(notice_id, fate, reason if fate is Fate.FAILED else None)]


def hear_whatsapp(body: Any) -> list[Heard]:  # noqa: ANN401  (any JSON value)
    """Read the statuses of a post; our key comes back as `biz_opaque_callback_data`."""
    statuses = [
        status
        for entry in _items(body, "entry")
        for change in _items(entry, "changes")
        for status in _items(change.get("value"), "statuses")
    ]
    return [heard for status in statuses if (heard := _whatsapp(status)) is not None]


def _whatsapp(status: Mapping[str, Any]) -> Heard | None:
    notice_id = _uuid(status.get("biz_opaque_callback_data"))
    fate = WHATSAPP.get(str(status.get("status")))
    if notice_id is None or fate is None:
        return None
    codes = {error.get("code") for error in _items(status, "errors")}
    reason = BAD_NUMBER if _NO_SUCH_CONTACT in codes else "undelivered"
    return Heard(notice_id, fate, reason if fate is Fate.FAILED else None, "whatsapp")


def _items(value: Any, name: str | None = None) -> list[dict[str, Any]]:  # noqa: ANN401  (any JSON value)
    """Return the objects of a list, or of the list under a name; none when there is none."""
    found = value.get(name) if name is not None and isinstance(value, dict) else value
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
