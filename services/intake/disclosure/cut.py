"""What of a person's data a provider may learn of a referral now: purely (SAFETY 3, 7b, 16)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.intake.consent.record import SHAREABLE
from shared.errors import Conflict, NotFound
from shared.vocabulary import ReferralState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from services.intake.casework.review import Attempt
    from services.intake.consent.record import Consent
    from shared.events import CaseFacts

_FIELDS: Final = Path(__file__).with_name("fields.toml")

REPORTED: Final = frozenset(
    {"places", "relation_to_reporter", "reporter", "narrative", "told_before", "external_refs"}
)
"""Fields that hold who the reporter is, or the reporter's own words."""

_OPEN: Final = frozenset({ReferralState.ACCEPTED, ReferralState.IN_SERVICE, ReferralState.ON_HOLD})
"""States in which the provider has said yes, has a place, and has not ended. Who only waits for a
place is not met yet."""


@dataclass(frozen=True, slots=True)
class Reported:
    """Whether others may learn who reported, and whether that is the person of the case."""

    agreed: bool
    is_person: bool

    @property
    def open(self) -> bool:
        """Whether the reporter's words may leave the centre."""
        return self.agreed or self.is_person


def reported_in(report: Mapping[str, Any]) -> Reported:
    """Read from the coarse report what its reporter agreed to; by default to nothing."""
    reporter = report.get("reporter", {})
    return Reported(reporter.get("identity") == "shared", reporter.get("kind") == "self")


@cache
def _needed() -> Mapping[str, Any]:
    return tomllib.loads(_FIELDS.read_text("utf-8"))


def fields_for(need: str) -> tuple[str, ...]:
    """Return what a service needs to know at most."""
    found = _needed()
    return tuple(found["needs"].get(need, found["usual"]))


def may_know(
    attempt: Attempt | None,
    facts: CaseFacts | None,
    consents: Iterable[Consent],
    provider_id: str,
    reported: Reported,
    at: datetime,
) -> tuple[str, ...]:
    """Return the fields that the provider of a referral may learn now, in a fixed order.

    Raises:
        NotFound: it is not this provider's, or the case must not be known to it.
        Conflict: not accepted yet, ended, or not agreed to; `why` says which.

    """
    if attempt is None or facts is None or attempt.provider_id != provider_id:
        raise NotFound
    if provider_id in facts.excluded:
        raise NotFound
    if attempt.state not in _OPEN:
        raise Conflict(None, why="not_accepted_or_ended", state=attempt.state)
    if facts.status == "erased":
        raise Conflict(None, why="erased")
    found = agreed_to(attempt.need, consents, provider_id, reported, at)
    if found is None:
        raise Conflict("nobody agreed that you learn who this is", why="no_consent")
    return found[0]


def agreed_to(
    need: str, consents: Iterable[Consent], receiver: str, reported: Reported, at: datetime
) -> tuple[tuple[str, ...], Consent] | None:
    """Return what a receiver may learn for a need, in a fixed order, and by which newest consent.

    None: nobody agreed that it learns who this is.
    """
    agreed: set[str] = set()
    newest = None
    for consent in consents:
        if consent.share_identity and consent.serves(need, receiver, at):
            newest = consent
            agreed.update(SHAREABLE if consent.fields is None else consent.fields)
    if newest is None:
        return None
    agreed &= set(fields_for(need))
    if not reported.open:
        agreed -= REPORTED
    return tuple(name for name in SHAREABLE if name in agreed), newest


def safe_phone(known: dict[str, Any], *, stopped: bool) -> dict[str, Any]:
    """Take every number out of what is told, unless its owner said it is safe; the default is no.

    `stopped`: somebody stopped messages to the number.
    """
    contact = known.get("safe_contact")
    allowed = bool(contact and contact.get("allowed")) and not stopped
    if allowed:
        return known
    return {name: None if name in ("phone", "safe_contact") else v for name, v in known.items()}
