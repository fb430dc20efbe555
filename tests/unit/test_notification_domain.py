"""Notification's decisions: who is told, what an answer means, what a subscription does next."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from services.notification.domain import (
    GAP_LOOK,
    REFERRAL_TYPES,
    Entry,
    Head,
    NoticeId,
    NoticeState,
    ProviderId,
    Rest,
    Send,
    Standing,
    Subscription,
    SubscriptionId,
    Why,
    Withhold,
    entry_of,
    next_step,
    plan_notices,
)
from services.notification.facts import notice_draft, render_body
from services.notification.gaps import Gap, Passed, pass_gap, place_in
from services.notification.seal import SealBroken, Sealer
from services.notification.settings import load_settings
from services.notification.verdicts import Answer, Verdict, judge
from shared.errors import RecordInvalid, SettingsError
from shared.events import Event, ReferralFacts

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
SCHEDULE = load_settings({}).schedule
TOOK = timedelta(seconds=1)
ENTRY = Entry(
    organisation=ProviderId("ngo-1"),
    feed_seq=5,
    event_id=UUID(int=1),
    type="referral-assigned",
    happened_at=AT,
    case_id=UUID(int=2),
    referral_id=UUID(int=3),
    state="assigned",
    version=1,
    test=False,
)
HEAD = Head(NoticeId(UUID(int=9)), ENTRY, 0, AT + timedelta(days=7), follows=True)


def test_whom_a_case_named_is_not_told_that_it_was_taken_away() -> None:
    told = _event(reason="excluded", state="withdrawn", feed_seq=5)
    entry = entry_of(structs.replace(told, type="referral-withdrawn"))
    assert entry is not None
    (notice,) = plan_notices(entry, [_subscription()], AT, uuid4)
    assert (notice.state, notice.reason) == (NoticeState.WITHHELD, Why.CONFLICT)


def _subscription(**changes: object) -> Subscription:
    made = Subscription(
        SubscriptionId(UUID(int=7)),
        ProviderId("ngo-1"),
        None,
        Standing.ACTIVE,
        AT - timedelta(days=1),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the test names real fields


def _event(subject: str = str(UUID(int=2)), **facts: object) -> Event:
    data = ReferralFacts(
        **{  # type: ignore[arg-type]  # the test names real fields
            "referral_id": UUID(int=3),
            "need": "shelter",
            "urgency": "T1",
            "state": "assigned",
            "provider_id": "ngo-1",
            "feed_seq": 5,
            **facts,
        }
    )
    return Event(UUID(int=1), "/referral", "referral-assigned", subject, AT, 1, "a:b", None, data)


def test_an_event_of_a_providers_feed_becomes_an_entry_of_ids() -> None:
    assert entry_of(_event()) == ENTRY


@pytest.mark.parametrize("facts", [{"provider_id": None}, {"feed_seq": None}])
def test_an_event_outside_of_every_feed_becomes_nothing(facts: dict[str, Any]) -> None:
    assert entry_of(_event(**facts)) is None


@pytest.mark.parametrize(
    "event",
    [_event("no-case"), _event(feed_seq=0), _event(feed_seq=2**63), _event(version=2**31)],
)
def test_an_event_that_can_never_be_stored_is_invalid(event: Event) -> None:
    with pytest.raises(RecordInvalid):
        entry_of(event)


@pytest.mark.parametrize(
    ("subscription", "entry", "at", "reason"),
    [
        (_subscription(), ENTRY, AT, None),
        (_subscription(types=frozenset({"referral-assigned"})), ENTRY, AT, None),
        (_subscription(created_at=AT + timedelta(seconds=4)), ENTRY, AT, None),
        (_subscription(), replace(ENTRY, test=True), AT, Why.TEST),
        (_subscription(standing=Standing.DEAD), ENTRY, AT, Why.DISABLED),
        (_subscription(standing=Standing.DISABLED), ENTRY, AT, Why.DISABLED),
        (_subscription(), ENTRY, AT + timedelta(days=7), None),
        (_subscription(), ENTRY, AT + timedelta(days=7, seconds=1), Why.STALE),
        (_subscription(), replace(ENTRY, type="referral-withdrawn"), AT + timedelta(days=60), None),
    ],
)
def test_a_subscription_is_told_or_the_reason_is_kept(
    subscription: Subscription, entry: Entry, at: datetime, reason: Why | None
) -> None:
    [notice] = plan_notices(entry, [subscription], at, uuid4)
    assert notice.reason == reason
    assert notice.state == (NoticeState.WITHHELD if reason else NoticeState.WAITING)


@pytest.mark.parametrize(
    "subscription",
    [
        _subscription(types=frozenset({"service-delivered"})),
        _subscription(created_at=AT + timedelta(seconds=6)),
        _subscription(standing=Standing.DELETED),
    ],
)
def test_what_a_subscription_did_not_ask_for_gives_no_notice(subscription: Subscription) -> None:
    assert plan_notices(ENTRY, [subscription], AT, uuid4) == []


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert judge(Answer(TOOK, status), 3, SCHEDULE, AT).verdict is Verdict.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_every_other_status_is_tried_again(status: int) -> None:
    outcome = judge(Answer(TOOK, status), 0, SCHEDULE, AT)
    assert (outcome.verdict, outcome.retry_at) == (Verdict.RETRY, AT + timedelta(seconds=5))


def test_the_schedule_is_kept_and_then_the_subscription_is_dead() -> None:
    answer = Answer(TOOK, trouble="timeout")
    pauses = [judge(answer, n, SCHEDULE, AT).retry_at for n in range(8)]
    told = [None if p is None else (p - AT).total_seconds() for p in pauses]
    assert told == [5, 300, 1800, 7200, 18000, 36000, 86400, None]
    assert judge(answer, 7, SCHEDULE, AT).verdict is Verdict.EXHAUSTED


def test_410_ends_the_subscription_at_once() -> None:
    assert judge(Answer(TOOK, 410), 0, SCHEDULE, AT).verdict is Verdict.GONE


@pytest.mark.parametrize(
    ("status", "asked", "pause"),
    [
        (429, 60, 60),
        (503, 60, 60),
        (429, 1, 5),
        (503, 10**8, 86400),
        (500, 60, 5),
    ],
)
def test_retry_after_is_honoured_for_429_and_503(status: int, asked: int, pause: int) -> None:
    answer = Answer(TOOK, status, retry_after=timedelta(seconds=asked))
    assert judge(answer, 0, SCHEDULE, AT).retry_at == AT + timedelta(seconds=pause)


@pytest.mark.parametrize(
    ("standing", "head", "at", "step"),
    [
        (Standing.ACTIVE, None, AT, Rest()),
        (Standing.ACTIVE, HEAD, AT, Send(HEAD)),
        (Standing.DEAD, HEAD, AT, Withhold(Why.DISABLED)),
        (Standing.DISABLED, HEAD, AT, Withhold(Why.DISABLED)),
        (Standing.DELETED, HEAD, AT, Withhold(Why.DELETED)),
        (Standing.ACTIVE, HEAD, AT + timedelta(days=8), Withhold(Why.STALE)),
    ],
)
def test_a_subscription_takes_its_next_step(
    standing: Standing, head: Head | None, at: datetime, step: object
) -> None:
    assert next_step(standing, head, at) == step


def test_a_notice_that_was_tried_once_is_never_stale() -> None:
    head = replace(HEAD, attempt=1)
    assert next_step(Standing.ACTIVE, head, AT + timedelta(days=8)) == Send(head)


@pytest.mark.parametrize("days", [0, 6])
def test_an_entry_waits_for_those_before_it_as_long_as_they_are_not_here(days: int) -> None:
    at = AT + timedelta(days=days)
    assert next_step(Standing.ACTIVE, replace(HEAD, follows=False), at) == Rest(at + GAP_LOOK)


@pytest.mark.parametrize(
    ("parked", "seconds", "passed"),
    [
        (set(), 0, None),
        (set(), 3599, None),
        (set(), 3600, Passed.TIME),
        ({3}, 10, None),  # 4 can still come
        ({3, 4}, 10, Passed.PARKED),
        ({2, 3, 4, 5}, 10, Passed.PARKED),
        ({2, 5}, 10, None),
    ],
)
def test_a_gap_is_passed_over_when_all_of_it_is_parked_or_after_an_hour(
    parked: set[int], seconds: int, passed: Passed | None
) -> None:
    gap = Gap(ProviderId("ngo-1"), 3, 4, AT)
    wait = load_settings({}).gap_wait
    assert pass_gap(gap, parked, AT + timedelta(seconds=seconds), wait) is passed


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b'{"data": {"provider_id": "ngo-1", "feed_seq": 7}}', ("ngo-1", 7)),
        (b'{"data": {"provider_id": "ngo-1", "feed_seq": true}}', None),
        (b'{"data": {"provider_id": null, "feed_seq": 7}}', None),
        (b'{"data": []}', None),
        (b"[" * 5000, None),
        (b"\xff ngo-1", None),
        (None, None),
    ],
)
def test_a_parked_records_place_is_read_where_it_can_be(
    value: bytes | None, place: tuple[str, int] | None
) -> None:
    assert place_in(value) == place


def test_the_body_holds_ids_and_a_state_only() -> None:
    body = json.loads(render_body(ENTRY, "https://centre.org"))
    assert body == {
        "type": "referral-assigned",
        "timestamp": "2026-11-25T12:00:00Z",
        "data": {
            "referral_id": str(ENTRY.referral_id),
            "state": "assigned",
            "cursor": 5,
            "version": 1,
            "href": f"https://centre.org/referral/v1/referrals/{ENTRY.referral_id}",
        },
    }


def test_a_notices_event_belongs_to_its_case() -> None:
    draft = notice_draft(
        "webhook",
        notice_id=UUID(int=9),
        subscription_id=UUID(int=7),
        entry=ENTRY,
        state=NoticeState.DELIVERED,
        attempt=2,
        reason=None,
    )
    assert (draft.stream, draft.type, draft.subject) == (
        "notices",
        "notice-delivered",
        str(ENTRY.case_id),
    )


def test_types_of_a_subscription_are_those_about_referrals() -> None:
    assert {"referral-assigned", "service-delivered", "referral-withdrawn"} <= REFERRAL_TYPES
    assert not {"capacity-changed", "case-created", "notice-sent"} & REFERRAL_TYPES


def test_a_sealed_secret_opens_only_where_it_belongs() -> None:
    sealer, place = Sealer(b"k" * 32), UUID(int=7)
    sealed = sealer.close(place, "ngo-1", b"secret")
    assert sealer.open(place, "ngo-1", sealed) == b"secret"
    assert b"secret" not in sealed
    wrong = [
        (sealer, UUID(int=8), "ngo-1", sealed),
        (sealer, place, "ngo-2", sealed),
        (Sealer(b"j" * 32), place, "ngo-1", sealed),
        (sealer, place, "ngo-1", sealed[:-1]),
        (sealer, place, "ngo-1", b""),
    ]
    for opener, subscription, organisation, data in wrong:
        with pytest.raises(SealBroken):
            opener.open(subscription, organisation, data)


@pytest.mark.parametrize(
    "env",
    [
        {"NOTIFICATION_SCHEDULE": "0,soon"},
        {"NOTIFICATION_SCHEDULE": "0,-1"},
        {"NOTIFICATION_TIMEOUT": "0"},
        {"NOTIFICATION_TIMEOUT": "x"},
        {"NOTIFICATION_GAP_WAIT": "x"},
        {"NOTIFICATION_DENIED": "10.0.0.0/33"},
    ],
)
def test_a_wrong_variable_stops_the_start(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(env))):
        load_settings(env)
