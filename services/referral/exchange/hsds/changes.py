"""What an import changes of the directory: counted, and the first ones named; purely."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from services.referral.exchange.hsds import store
from shared.vocabulary import Enrolment, Reach

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MOST_TOLD: Final = 200
"""Offers whose changes are told one by one; all are counted."""

T = TypeVar("T")


@dataclass(slots=True)
class Changes:
    """What an import changed, or would change."""

    objects: dict[str, Counter[str]] = field(
        default_factory=lambda: {"new": Counter(), "changed": Counter()}
    )
    providers: Counter[str] = field(default_factory=Counter)
    offers: Counter[str] = field(default_factory=Counter)
    absent_services: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, offer_id: str, what: str, fields: list[str]) -> None:
        """Count what became of an offer, and name the first ones."""
        self.offers[what] += 1
        if what != "same" and len(self.told) < MOST_TOLD:
            self.told.append({"offer_id": offer_id, "what": what, "fields": fields})


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a list into pages."""
    return (items[at : at + size] for at in range(0, len(items), size))


def offer_in(raw: bytes) -> dict[str, Any]:
    """Return an offer as `mapping.offers_of` made it."""
    read_back: dict[str, Any] = msgspec.json.decode(raw)
    return read_back


def differing(offer: dict[str, Any], old: dict[str, Any] | None) -> list[str]:
    """Return the fields in which a package says something else than what is known."""
    if old is None:
        return []
    return [name for name in store.OFFER_FIELDS if _same_form(offer[name]) != _same_form(old[name])]


def _same_form(value: Any) -> Any:  # noqa: ANN401  (a column's value)
    """Return a value so that order and type of what the database gives do not count."""
    if isinstance(value, list | tuple):
        return sorted(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def must_be_confirmed(fields: Collection[str], old: dict[str, Any]) -> bool:
    """Say whether a change of an active offer is of whom it serves, with what or where.

    So is one that opens what a person closed here.
    """
    reopened = "accepting" in fields and old["edited"] and not old["accepting"]
    moved = not store.HARMLESS.issuperset(fields)
    return old["enrolment"] == Enrolment.ACTIVE and (moved or reopened)


def row_of(offer: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """Return an offer as the store takes it, with what is this centre's own.

    One that was active is `listed` again when a person must confirm what changed.
    """
    kept = old or {"enrolment": str(Enrolment.LISTED), "reach": str(Reach.NONE)}
    if old is not None and must_be_confirmed(differing(offer, old), old):
        kept = {**old, "enrolment": str(Enrolment.LISTED)}
    return {
        **{name: offer[name] for name in store.OFFER_FIELDS},
        "offer_id": offer["offer_id"],
        "needs": ";".join(offer["needs"]),
        "languages": ";".join(offer["languages"]),
        "schedules": "\n".join(offer["schedules"]),
        "enrolment": kept["enrolment"],
        "reach": kept["reach"],
        "latitude": kept.get("latitude"),
        "longitude": kept.get("longitude"),
        "places_free": None,
        "places_total": None,
    }
