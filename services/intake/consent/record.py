"""A consent as it is kept, and what several of them come to: purely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.events import ConsentGrant, ConsentState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

SHAREABLE: Final = (
    "name",
    "phone",
    "safe_contact",
    "support",
    "places",
    "relation_to_reporter",
    "reporter",
    "narrative",
    "told_before",
    "external_refs",
)
"""Fields that a consent may name; a provider's service needs some of them (`fields.toml`)."""

OVERRIDES: Final = ("best_interest", "legal_duty")
"""Bases that do without the person's word: always a supervisor's, and always an event."""

TRUSTED_ADULT: Final = "assent_and_trusted_adult"
"""Basis of a child who agrees beside an adult it trusts, where no caregiver can be asked."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent that counts; times are UTC, `recorded_by` is an actor (`role:pseudonym`).

    Empty `purposes` or `providers` mean every one, and so does None in `fields`.
    """

    consent_id: UUID
    given_by: str
    basis: str
    given_at: datetime
    recorded_by: str
    purposes: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    share_identity: bool = False
    explained: bool = False
    how: str | None = None
    expires_at: datetime | None = None
    heard_by: str | None = None
    decision_body: str | None = None
    instrument: str | None = None

    def serves(self, need: str, provider_id: str, at: datetime) -> bool:
        """Whether it lets a provider know of the person for a need at a time."""
        return (
            (not self.purposes or need in self.purposes)
            and (not self.providers or provider_id in self.providers)
            and (self.expires_at is None or at < self.expires_at)
        )


def shareable(named: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the known ones of the fields that a consent names; None when it names none."""
    return None if named is None else tuple(dict.fromkeys(n for n in named if n in SHAREABLE))


def state_of(consents: Sequence[Consent]) -> ConsentState:
    """Return what the consents of a case that count now come to, as events say it."""
    if not consents:
        return ConsentState()
    every = any(not c.purposes for c in consents)
    purposes = () if every else dict.fromkeys(p for c in consents for p in c.purposes)
    named = any(c.providers for c in consents)
    return ConsentState(
        given=True,
        purposes=list(purposes),
        share_identity=any(c.share_identity for c in consents),
        basis=consents[-1].basis,
        grants=[
            ConsentGrant(purposes=list(c.purposes), providers=list(c.providers)) for c in consents
        ]
        if named
        else [],
    )


def narrows(old: Sequence[Consent], new: Sequence[Consent]) -> bool:
    """Say whether something that was agreed to no longer is; bases and ends do not count."""
    return any(not any(_covers(n, o) for n in new) for o in old)


def _covers(new: Consent, old: Consent) -> bool:
    return (
        _within(old.purposes, new.purposes)
        and _within(old.providers, new.providers)
        and (new.fields is None or (old.fields is not None and set(old.fields) <= set(new.fields)))
        and (new.share_identity or not old.share_identity)
    )


def _within(part: Collection[str], whole: Collection[str]) -> bool:
    """Say whether one list lies in another, where an empty one is everything."""
    return not whole or (bool(part) and set(part) <= set(whole))
