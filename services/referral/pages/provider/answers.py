"""What a form says, as the order of the interface: the same bodies, checked by the same models."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from services.referral.bodies import BODIES, order_of
from shared.bodies import validate
from shared.clock import DHAKA
from shared.errors import InvalidBody, NotFound

if TYPE_CHECKING:
    from services.referral.domain import Order
    from shared.pages.forms import Form

VERBS: Final = frozenset(
    {
        *("accept", "decline", "contact", "start", "hold", "appointment", "milestone"),
        *("refer-onward", "deliver", "fail", "acknowledge-withdrawal"),
    }
)
"""Transitions that a provider's worker may ask for."""

_TEXTS: Final = frozenset(
    {
        *("reason", "text", "provider_reference", "expected_on", "review_on", "kind", "state"),
        *("waiting_on", "due_on", "transport", "need", "how_much", "outcome"),
    }
)
_NUMBERS: Final = frozenset({"position", "sessions_planned", "sessions_done"})
_TIMES: Final = frozenset({"at", "moved_to"})
_DIGITS: Final = str.maketrans("০১২৩৪৫৬৭৮৯", "0123456789")
_LONGEST_NUMBER: Final = 5


def order_in(verb: str, form: Form) -> Order:
    """Return what a form orders.

    Raises:
        NotFound: providers have no such transition. InvalidBody: see `shared.bodies.validate`.

    """
    if verb not in VERBS:
        raise NotFound
    body = validate(BODIES[verb], body_in(form))
    version = _number("version", form.get("version")) if form.get("version") else None
    return order_of(verb, body, version)


def body_in(form: Form) -> dict[str, Any]:
    """Return the fields that were filled in, as JSON has them; times are of Dhaka."""
    body: dict[str, Any] = {}
    for name, value in form.fields:
        if not value:
            continue
        if name in _TEXTS:
            body[name] = value
        elif name in _NUMBERS:
            body[name] = _number(name, value)
        elif name in _TIMES:
            body[name] = _time(name, value)
        elif name == "waitlisted":
            body[name] = value == "yes"
    return body


def _number(name: str, value: str) -> int:
    plain = value.translate(_DIGITS)
    if not plain.isascii() or not plain.isdigit() or len(plain) > _LONGEST_NUMBER:
        raise InvalidBody(None, errors=[{"field": name, "rule": "whole-number"}])
    return int(plain)


def _time(name: str, value: str) -> datetime:
    try:
        told = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidBody(None, errors=[{"field": name, "rule": "time"}]) from None
    return told if told.tzinfo else told.replace(tzinfo=DHAKA)
