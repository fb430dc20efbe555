"""Notification's decisions, purely: whom an event concerns, what an answer means, what is next.

No clock, id, input or output inside: everything comes as an argument (STYLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType
from uuid import UUID

from shared.errors import RecordInvalid
from shared.events import DATA_TYPES, ReferralFacts
from shared.vocabulary import EXCLUDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shared.events import Event

SubscriptionId = NewType("SubscriptionId", UUID)
NoticeId = NewType("NoticeId", UUID)
ProviderId = NewType("ProviderId", str)

REFERRAL_TYPES: Final = frozenset(
    name for name, kind in DATA_TYPES.items() if kind is ReferralFacts
)
"""Every event type about one referral: what a subscription may ask for."""

WEBHOOK: Final = "webhook"
KAFKA: Final = "kafka"
"""The notifiers of providers' systems, each with its group `notification.<name>`."""

USEFUL: Final = timedelta(days=7)
"""How long an event is worth telling a provider's system; older ones are withheld (DECISIONS 6)."""

USEFUL_FOR: Final[Mapping[str, timedelta]] = {"referral-withdrawn": timedelta(days=100)}
"""Event types with a time of their own. A withdrawal reaches its recipient however late it is."""

SKEW: Final = timedelta(seconds=5)
"""How far the clocks of two services may differ before a new subscription misses an event."""

SLOW: Final = timedelta(seconds=1)
"""A receiver that answers later than this is served in the slow lane next time."""

GAP_LOOK: Final = timedelta(seconds=5)
"""How often a subscription looks again whether a gap has closed, beside being woken when it has."""

_MAX_BIGINT: Final = 2**63 - 1
_MAX_INTEGER: Final = 2**31 - 1


class Standing(StrEnum):
    """Whether a subscription is served. `dead`: retries ran out; `disabled`: it answered 410."""

    ACTIVE = "active"
    DEAD = "dead"
    DISABLED = "disabled"
    DELETED = "deleted"


class NoticeState(StrEnum):
    """What became of a notice.

    Only notices to persons are ever in flight or unknown: a webhook is answered at once, and what
    is for a provider's topic is sent as soon as it stands in the outbox.
    """

    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"


class Why(StrEnum):
    """Why a notice was withheld, failed, or a subscription was disabled."""

    TEST = "test"
    CONFLICT = "conflict"
    STALE = "stale"
    DISABLED = "subscription-disabled"
    DELETED = "subscription-deleted"
    EXHAUSTED = "exhausted"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a decision knows of a subscription; `types` None means every referral type."""

    id: SubscriptionId
    organisation: ProviderId
    types: frozenset[str] | None
    standing: Standing
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in a provider's feed: ids and a state, nothing else. `feed_seq` starts at 1.

    `excluded`: the case named its provider, who must not hear of it.
    """

    organisation: ProviderId
    feed_seq: int
    event_id: UUID
    type: str
    happened_at: datetime
    case_id: UUID
    referral_id: UUID
    state: str
    version: int
    test: bool
    excluded: bool = False
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One entry to tell one subscription, or why it is not told. Times are UTC."""

    id: NoticeId
    subscription_id: SubscriptionId
    entry: Entry
    state: NoticeState
    useful_until: datetime
    reason: Why | None = None


def entry_of(event: Event) -> Entry | None:
    """Return the feed entry of a referral event, or None if it is in no provider's feed.

    Raises:
        RecordInvalid: its ids, numbers or times can never be stored.

    """
    facts: ReferralFacts = event.data
    if facts.provider_id is None or facts.feed_seq is None:
        return None
    try:
        case_id = UUID(event.subject)
    except ValueError:
        raise RecordInvalid("invalid-subject", "a referral's subject is a case id") from None
    if not 1 <= facts.feed_seq <= _MAX_BIGINT or not 0 <= facts.version <= _MAX_INTEGER:
        raise RecordInvalid("invalid-number", "feed_seq or version is out of range")
    if event.time.tzinfo is None:
        raise RecordInvalid("invalid-time", "the time has no offset")
    return Entry(
        organisation=ProviderId(facts.provider_id),
        feed_seq=facts.feed_seq,
        event_id=event.id,
        type=event.type,
        happened_at=event.time,
        case_id=case_id,
        referral_id=facts.referral_id,
        state=facts.state,
        version=facts.version,
        test=facts.test,
        excluded=event.type == "referral-withdrawn" and facts.reason == EXCLUDED,
        traceparent=event.traceparent,
    )


def useful_for(event_type: str) -> timedelta:
    """Return how long after it happened an event is worth telling."""
    return USEFUL_FOR.get(event_type, USEFUL)


def plan_notices(
    entry: Entry,
    subscriptions: Iterable[Subscription],
    at: datetime,
    new_id: Callable[[], UUID],
) -> list[Notice]:
    """Decide which subscriptions hear of an entry, and which do not and why.

    A subscription made after the event hears nothing of it: that is what a replay is for.
    """
    planned = []
    until = entry.happened_at + useful_for(entry.type)
    for subscription in subscriptions:
        wanted = subscription.types is None or entry.type in subscription.types
        existed = entry.happened_at >= subscription.created_at - SKEW
        if not (wanted and existed) or subscription.standing is Standing.DELETED:
            continue
        reason: Why | None = None
        if entry.test:
            reason = Why.TEST
        elif entry.excluded:
            reason = Why.CONFLICT
        elif subscription.standing is not Standing.ACTIVE:
            reason = Why.DISABLED
        elif at > until:
            reason = Why.STALE
        state = NoticeState.WITHHELD if reason else NoticeState.WAITING
        planned.append(Notice(NoticeId(new_id()), subscription.id, entry, state, until, reason))
    return planned


@dataclass(frozen=True, slots=True)
class Head:
    """The first waiting notice of a subscription. `follows`: all of the feed before it is here."""

    notice_id: NoticeId
    entry: Entry
    attempt: int
    useful_until: datetime
    follows: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send this notice now."""

    head: Head


@dataclass(frozen=True, slots=True)
class Withhold:
    """Do not send what waits; only what is stale when the reason is `stale`."""

    reason: Why


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until`, or before something new comes when that is None."""

    until: datetime | None = None


Step = Send | Withhold | Rest


def next_step(standing: Standing, head: Head | None, at: datetime) -> Step:
    """Decide what a subscription does next.

    The feed's order is the webhook's order (DECISIONS 17): an entry waits until all before it are
    here, or were passed over (gaps.py): either wakes the subscription.
    """
    if head is None:
        return Rest()
    if standing is Standing.DELETED:
        return Withhold(Why.DELETED)
    if standing is not Standing.ACTIVE:
        return Withhold(Why.DISABLED)
    if head.attempt == 0 and at > head.useful_until:
        return Withhold(Why.STALE)
    if not head.follows:
        return Rest(at + GAP_LOOK)
    return Send(head)
