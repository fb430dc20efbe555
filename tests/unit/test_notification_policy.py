"""Who is told what by a machine: the table row by row, and safe hours."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification.brake import LOST, Brake
from services.notification.contacts import Away, Denied, Reachable, read_answer
from services.notification.domain import NoticeId, NoticeState
from services.notification.facts import person_draft
from services.notification.hours import DAYS, LAST_MOMENT, next_safe, parse_window
from services.notification.person_store import PersonNotice
from services.notification.policy import (
    WAYS,
    Contact,
    Later,
    Policy,
    Reason,
    Recipient,
    Send,
    Withhold,
    decide,
    plan,
)
from services.notification.policy_file import TABLE, parse_policy
from services.notification.templates import LANGUAGES, Audience, load_templates
from services.notification.words import Words
from shared.errors import SettingsError
from shared.events import NoticeFacts
from shared.sms import Refused, Sent, Unknown

TEMPLATES = load_templates()

# a Wednesday, 12:00 in Dhaka
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
CONTACT = Contact(language="bn", days=(), hours=(), urgency="T1", consent=True)
UNTIL = AT + timedelta(days=7)
BANGLA = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
NOTICE = PersonNotice(
    id=NoticeId(UUID(int=1)),
    notifier="sms",
    recipient=Recipient.PERSON,
    case_id=UUID(int=2),
    referral_id=UUID(int=3),
    event_id=UUID(int=4),
    type="referral-accepted",
    happened_at=AT,
    template="news",
    state=NoticeState.WAITING,
    useful_until=UNTIL,
    test=False,
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(TABLE.read_text("utf-8"), TEMPLATES.names, LANGUAGES)


# --- planning -------------------------------------------------------------------------------------

NEVER = (Recipient.REPORTER, "", Reason.NEVER)


@pytest.mark.parametrize(
    ("event", "urgency", "test", "age", "found"),
    [
        ("referral-accepted", "T1", False, 0, [(Recipient.PERSON, "news", None), NEVER]),
        ("referral-accepted", "T3", False, 0, [(Recipient.PERSON, "news", None), NEVER]),
        ("referral-accepted", "T0", False, 0, [(Recipient.PERSON, "", Reason.DANGER), NEVER]),
        ("referral-accepted", "T9", False, 0, [(Recipient.PERSON, "", Reason.NO_ROW), NEVER]),
        ("referral-accepted", None, False, 0, [(Recipient.PERSON, "", Reason.NO_ROW), NEVER]),
        (
            "referral-accepted",
            "T1",
            True,
            0,
            [(Recipient.PERSON, "news", Reason.TEST), (Recipient.REPORTER, "", Reason.TEST)],
        ),
        ("referral-accepted", "T1", False, 8, [(Recipient.PERSON, "news", Reason.STALE), NEVER]),
        ("service-delivered", "T2", False, 8, [(Recipient.PERSON, "how_are_you", None), NEVER]),
        (
            "service-delivered",
            "T2",
            False,
            15,
            [(Recipient.PERSON, "how_are_you", Reason.STALE), NEVER],
        ),
        ("service-delivered", "T0", False, 0, [(Recipient.PERSON, "", Reason.DANGER), NEVER]),
        ("referral-assigned", "T1", False, 0, []),
        ("referral-declined", "T1", False, 0, []),
        ("referral-withdrawn", "T1", False, 0, []),
        ("case-created", "T1", False, 0, []),
    ],
)
def test_an_event_plans_what_the_table_says(
    policy: Policy, event: str, urgency: str | None, *, test: bool, age: int, found: list[object]
) -> None:
    planned = plan(policy, event, urgency, AT - timedelta(days=age), AT, test=test)
    assert [(p.recipient, p.template, p.reason) for p in planned] == found


def test_a_reporter_is_never_told_by_a_machine_and_a_committee_cannot_be_named(
    policy: Policy,
) -> None:
    assert {row.then for row in policy.row if row.recipient is Recipient.REPORTER} == {"withhold"}
    text = TABLE.read_text("utf-8").replace('recipient = "reporter"', 'recipient = "committee"')
    with pytest.raises(SettingsError):
        parse_policy(text, TEMPLATES.names, LANGUAGES)


def test_every_row_that_sends_asks_for_consent_and_safe_contact_and_is_never_for_danger(
    policy: Policy,
) -> None:
    for row in policy.row:
        assert row.why
        if row.then == "send" and row.recipient not in STAFF:
            assert (row.consent, row.safe_contact, row.hours) == ("given", "given", "safe")
            assert row.urgency
            assert "T0" not in row.urgency


def test_a_supervisor_gets_a_digest_of_counts_that_never_rings_and_soon_is_stale(
    policy: Policy,
) -> None:
    (planned,) = plan(policy, "digest-due", None, AT, AT, test=False, notifier="digest")
    assert (planned.recipient, planned.template) == (Recipient.SUPERVISOR, "digest")
    assert planned.useful_until == AT + timedelta(hours=4)
    found = policy.find_row("digest-due", Recipient.SUPERVISOR, None)
    assert found is not None
    assert found.ways == ("sms", "push")
    night = AT.replace(hour=20)
    contact = Contact(language=None, days=(), hours=())
    asked = (policy, "digest-due", Recipient.SUPERVISOR)
    assert decide(*asked, contact, night, night) == Send("digest", "bn", "digest")
    by_push = decide(*asked, replace(contact, way="push"), night, night)
    assert by_push == Send("digest", "bn", "push")


@pytest.mark.parametrize(("waiting", "soon", "said"), [(12, 3, "12"), (140, 100, "99+")])
def test_a_digest_says_two_counts_and_no_number_that_may_be_a_helpline(
    waiting: int, soon: int, said: str
) -> None:
    notice = replace(NOTICE, template="digest", waiting=waiting, soon=soon)
    for language in LANGUAGES:
        text = (
            Words(TEMPLATES, "https://centre.example.org").message(notice, "digest", language).text
        )
        assert (said if language == "en" else said.translate(BANGLA)) in text
        assert not re.search(r"\d{3}", text)


def test_whoever_is_on_duty_is_paged_at_any_hour_for_a_quarter_of_an_hour(policy: Policy) -> None:
    (planned,) = plan(policy, "duty-paged", "T0", AT, AT, test=False, notifier="page")
    assert (planned.recipient, planned.template) == (Recipient.ON_DUTY, "look_now")
    assert planned.useful_until == AT + timedelta(minutes=15)
    contact = Contact(language=None, days=(), hours=(), urgency="T0")
    call, push = replace(contact, way="call"), replace(contact, way="push")
    night = AT.replace(hour=20)  # two o'clock in Dhaka
    late = night + timedelta(minutes=16)
    paged = (policy, "duty-paged", Recipient.ON_DUTY, contact)
    until = night + timedelta(minutes=15)
    assert decide(*paged, night, until) == Send("look_now", "bn", "page")
    assert decide(*paged, late, until) == Withhold(Reason.STALE)
    for other, by in ((call, "voice"), (push, "push")):
        found = decide(policy, "duty-paged", Recipient.ON_DUTY, other, night, until)
        assert found == Send("look_now", "bn", by)


def test_each_row_is_planned_by_one_notifier_and_sent_by_whose_way_is_safe(policy: Policy) -> None:
    for event in {row.event for row in policy.row}:
        planned = [
            notice.recipient
            for name in WAYS
            for notice in plan(policy, event, "T1", AT, AT, test=False, notifier=name)
        ]
        assert sorted(planned) == sorted(policy.recipients(event))
    said = ("referral-accepted", Recipient.PERSON)
    chat = replace(CONTACT, way="whatsapp")
    assert decide(policy, *said, chat, AT, UNTIL) == Send("news", "bn", "whatsapp")
    call = replace(CONTACT, way="call")
    assert decide(policy, *said, call, AT, UNTIL) == Withhold(Reason.NO_SAFE_WAY)


def test_only_staff_gets_another_way_when_one_fails(policy: Policy) -> None:
    asked = ("referral-assigned", Recipient.PROVIDER)
    assert policy.senders(*asked, "provider") == ("provider", "email")
    assert policy.senders(*asked, "email") == ("email",)
    assert policy.next_sender(*asked, "provider") == "email"
    assert policy.next_sender(*asked, "email") is None
    assert policy.next_sender("referral-accepted", Recipient.PERSON, "sms") is None
    text = TABLE.read_text("utf-8").replace(
        'template = "news"', 'template = "news"\nfallback = true'
    )
    with pytest.raises(SettingsError, match="no other safe"):
        parse_policy(text, TEMPLATES.names, LANGUAGES)


@pytest.mark.parametrize(
    ("urgency", "hour", "found"),
    [("T1", 20, "send"), ("T2", 20, "later"), ("T2", 6, "send"), ("T0", 20, "send")],
)
def test_a_provider_is_asked_at_night_only_where_it_cannot_wait(
    policy: Policy, urgency: str, hour: int, found: str
) -> None:
    contact = Contact(language=None, days=(), hours=(), urgency=urgency)
    at = AT.replace(hour=hour)  # 20 is two o'clock in Dhaka
    asked = (policy, "referral-assigned", Recipient.PROVIDER)
    assert type(decide(*asked, contact, at, UNTIL)).__name__.lower() == found


@pytest.mark.parametrize("given", ["consent", "safe_contact", "hours"])
def test_nobody_but_staff_is_told_whatever_they_said(given: str) -> None:
    usual = {"consent": "given", "safe_contact": "given", "hours": "safe"}[given]
    text = TABLE.read_text("utf-8").replace(f'{given} = "{usual}"', f'{given} = "any"')
    with pytest.raises(SettingsError, match="only staff"):
        parse_policy(text, TEMPLATES.names, LANGUAGES)


# --- deciding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, Send("news", "bn")),
        ({"language": "en"}, Send("news", "en")),
        ({"language": "banglish"}, Send("news", "bn")),
        ({"language": "rhg"}, Send("news", "bn")),
        ({"language": None}, Send("news", "bn")),
        ({"urgency": "T2"}, Send("news", "bn")),
        ({"urgency": "T0"}, Withhold(Reason.DANGER)),
        ({"urgency": None}, Withhold(Reason.NO_ROW)),
        ({"consent": False}, Withhold(Reason.NO_CONSENT)),
        ({"valid_until": AT - timedelta(seconds=1)}, Withhold(Reason.EXPIRED)),
        ({"valid_until": AT + timedelta(hours=1)}, Send("news", "bn")),
        ({"hours": ("18:00-20:00",)}, Later(AT + timedelta(hours=6))),
        ({"hours": ("10:00-14:00",)}, Send("news", "bn")),
        ({"days": ("mo",)}, Later(AT + timedelta(days=4, hours=21))),
        ({"days": ("mo",), "hours": ("06:00-07:00",)}, Later(AT + timedelta(days=4, hours=18))),
        ({"days": ("we",)}, Send("news", "bn")),
        ({"hours": ("evening",)}, Withhold(Reason.NO_SAFE_HOUR)),
        ({"days": ("friday next",)}, Later(AT + timedelta(days=1, hours=21))),
        ({"days": ("someday",)}, Withhold(Reason.NO_SAFE_HOUR)),
        ({"timezone": "Nowhere/At all"}, Withhold(Reason.NO_SAFE_HOUR)),
        (
            {"hours": ("18:00-20:00",), "valid_until": AT + timedelta(hours=5)},
            Withhold(Reason.NO_SAFE_HOUR),
        ),
    ],
)
def test_what_intake_answers_decides_at_the_moment_of_sending(
    policy: Policy, changes: dict[str, object], decision: object
) -> None:
    contact = replace(CONTACT, **changes)  # type: ignore[arg-type]  # the test names real fields
    found = decide(policy, "referral-accepted", Recipient.PERSON, contact, AT, UNTIL)
    assert found == decision


def test_a_safe_hour_after_it_is_useful_is_none(policy: Policy) -> None:
    contact = replace(CONTACT, hours=("18:00-20:00",))
    soon = AT + timedelta(hours=1)
    found = decide(policy, "referral-accepted", Recipient.PERSON, contact, AT, soon)
    assert found == Withhold(Reason.NO_SAFE_HOUR)
    late = decide(
        policy, "referral-accepted", Recipient.PERSON, CONTACT, UNTIL + LAST_MOMENT, UNTIL
    )
    assert late == Withhold(Reason.STALE)


def test_a_reporter_is_withheld_also_when_intake_would_allow_it(policy: Policy) -> None:
    found = decide(policy, "referral-accepted", Recipient.REPORTER, CONTACT, AT, UNTIL)
    assert found == Withhold(Reason.NEVER)


@pytest.mark.parametrize(
    "change",
    [
        ('then = "withhold"\nreason = "danger-now"', 'then = "withhold"'),
        ('reason = "danger-now"', 'reason = "because"'),
        ('template = "news"', 'template = "secrets"'),
        ('template = "news"\n', ""),
        ("useful_days = 7", "useful_days = 0"),
        ('otherwise = ["09:00-20:00"]', 'otherwise = ["day"]'),
        ('otherwise = ["09:00-20:00"]', "otherwise = []"),
        ('en = "en"', 'en = "fr"'),
        ('otherwise = "bn"', ""),
        ('consent = "given"', 'konsent = "given"'),
        ("[[row]]", "[[row]"),
    ],
)
def test_a_table_that_contradicts_itself_stops_the_start(change: tuple[str, str]) -> None:
    text = TABLE.read_text("utf-8")
    assert change[0] in text
    with pytest.raises(SettingsError):
        parse_policy(text.replace(*change, 1), TEMPLATES.names, LANGUAGES)


# --- safe hours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("18:00-20:00", (1080, 120)),
        ("9:30-10:00", (570, 30)),
        ("১৮:০০-২০:০০", (1080, 120)),
        ("22:00-02:00", (1320, 240)),
        ("00:00-24:00", (0, 1440)),
        ("10.00 \u2013 11.00", (600, 60)),
        ("18:00-18:00", None),
        ("24:00-25:00", None),
        ("18:60-19:00", None),
        ("18-20", None),
        ("", None),
    ],
)
def test_hours_are_read_or_they_are_not(text: str, minutes: tuple[int, int] | None) -> None:
    window = parse_window(text)
    assert (None if window is None else (window.start, window.length)) == minutes


def _dhaka(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - timedelta(hours=6)


@pytest.mark.parametrize(
    ("at", "days", "hours", "found"),
    [
        (_dhaka(25, 17, 59), (), ("18:00-20:00",), _dhaka(25, 18)),
        (_dhaka(25, 19, 54), (), ("18:00-20:00",), _dhaka(25, 19, 54)),
        (_dhaka(25, 19, 55), (), ("18:00-20:00",), _dhaka(26, 18)),
        (_dhaka(25, 8), (), (), _dhaka(25, 9)),
        (_dhaka(25, 21), (), (), _dhaka(26, 9)),
        (_dhaka(25, 21), ("we",), ("22:00-02:00",), _dhaka(25, 22)),
        (_dhaka(26, 1), ("we",), ("22:00-02:00",), _dhaka(26, 1)),  # Wednesday's night goes on
        (_dhaka(26, 3), ("we",), ("22:00-02:00",), datetime(2026, 12, 2, 16, tzinfo=UTC)),
        (_dhaka(25, 12), (), ("20:00-21:00", "13:00-14:00"), _dhaka(25, 13)),
        (_dhaka(25, 12), ("th", "FR"), ("rubbish", "13:00-14:00"), _dhaka(26, 13)),
        (_dhaka(25, 12), (), ("12:00-12:03",), _dhaka(25, 12)),
    ],
)
def test_the_next_safe_moment_is_in_the_persons_own_time(
    at: datetime, days: tuple[str, ...], hours: tuple[str, ...], found: datetime
) -> None:
    assert next_safe(at, days, hours, otherwise=("09:00-20:00",)) == found


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001  (made aware below)
    st.sets(st.sampled_from(DAYS)),
    st.integers(0, 23),
    st.integers(0, 23),
)
def test_a_safe_moment_is_inside_of_what_was_said_and_never_in_the_past(
    naive: datetime, days: set[str], start: int, end: int
) -> None:
    at = naive.replace(tzinfo=UTC)
    moment = next_safe(at, sorted(days), (f"{start:02}:00-{end:02}:00",))
    if start == end:
        assert moment is None
        return
    assert moment is not None
    assert at <= moment
    local = moment + timedelta(hours=6)
    began = local if local.hour >= start else local - timedelta(days=1)
    assert not days or DAYS[began.weekday()] in days
    inside = start <= local.hour < end if start < end else local.hour >= start or local.hour < end
    assert inside


# --- texts ----------------------------------------------------------------------------------------

AUDIENCES = {
    Recipient.PERSON: Audience.PERSONS,
    Recipient.REPORTER: Audience.PERSONS,
    Recipient.ON_DUTY: Audience.STAFF,
    Recipient.SUPERVISOR: Audience.STAFF,
    Recipient.PROVIDER: Audience.PROVIDERS,
}
STAFF = (Recipient.ON_DUTY, Recipient.SUPERVISOR, Recipient.PROVIDER)


def test_every_row_names_a_template_for_its_recipient_in_every_language(policy: Policy) -> None:
    for row in policy.row:
        if row.then == "send":
            assert TEMPLATES.audience(row.template) is AUDIENCES[row.recipient]
    assert {*policy.languages.values()} == {*LANGUAGES}


# --- intake's answer ------------------------------------------------------------------------------

YES = (
    b'{"decision": "contact", "number": "+8801712345678", "language": "bn", "days": ["mo"],'
    b' "hours": ["18:00-20:00"], "timezone": "Asia/Dhaka", "urgency": "T1", "consent": true,'
    b' "shared_phone": true, "valid_until": null}'
)


def test_an_answer_is_read_and_its_number_is_in_no_picture_of_it() -> None:
    found = read_answer(YES)
    assert isinstance(found, Reachable)
    assert found.address == "+8801712345678"
    assert found.contact == Contact("bn", ("mo",), ("18:00-20:00",), urgency="T1", consent=True)
    assert "1712345678" not in repr(found)


@pytest.mark.parametrize("said", ["2026-11-25", "2026-11-25T00:00:00", "2026-11-25T06:00:00+06:00"])
def test_the_end_of_a_contact_is_read_as_intake_reads_it(said: str) -> None:
    found = read_answer(YES.replace(b"null", f'"{said}"'.encode()))
    assert isinstance(found, Reachable)
    assert found.contact.valid_until == datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b'{"decision": "withheld", "reason": "contact-stopped"}', Denied(Reason.STOPPED)),
        (b'{"decision": "withheld", "reason": "erased"}', Denied(Reason.ERASED)),
        (b'{"decision": "withheld", "reason": "of-tomorrow"}', Denied(Reason.NO_SAFE_CONTACT)),
        (b'{"decision": "withheld"}', Denied(Reason.NO_SAFE_CONTACT)),
        (b'{"decision": "contact", "number": null}', Denied(Reason.NO_NUMBER)),
        (b'{"decision": "contact", "number": "1098"}', Denied(Reason.NO_NUMBER)),
        (b'{"decision": "withheld", "reason": "not-yet"}', Away("not-yet")),
        (
            b'{"decision": "contact", "way": "push", "number": "+8801712345678"}',
            Denied(Reason.NO_NUMBER),
        ),
        (b'{"decision": "contact", "way": "email", "address": ""}', Denied(Reason.NO_NUMBER)),
        (b'{"decision": "maybe"}', Away("unreadable")),
        (b"<html>", Away("unreadable")),
        (b"", Away("unreadable")),
        (YES.replace(b"null", b'"some day"'), Denied(Reason.EXPIRED)),
    ],
)
def test_an_answer_that_is_none_makes_the_notice_wait(content: bytes, answer: object) -> None:
    assert read_answer(content) == answer


# --- what is told of it, and the brake ------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (NoticeState.SENT, "notice-sent"),
        (NoticeState.DELIVERED, "notice-delivered"),
        (NoticeState.WITHHELD, "notice-withheld"),
        (NoticeState.FAILED, "notice-failed"),
        (NoticeState.UNKNOWN, "notice-failed"),
    ],
)
def test_the_event_of_a_notice_says_what_became_of_it_and_to_what_kind_of_recipient(
    state: NoticeState, kind: str
) -> None:
    draft = person_draft(replace(NOTICE, state=state))
    assert (draft.type, draft.subject) == (kind, str(UUID(int=2)))
    assert isinstance(draft.data, NoticeFacts)
    assert (draft.data.state, draft.data.recipient) == (str(state), "person")


def test_a_gateway_that_does_not_answer_is_tried_more_and_more_seldom() -> None:
    brake = Brake()
    for _ in range(LOST - 1):
        brake.note(Unknown("timeout"), AT)
    assert brake.room(4, AT) == 4
    pauses = []
    for _ in range(8):
        brake.note(Unknown("timeout"), AT)
        assert brake.room(4, AT) == 0
        assert brake.until is not None
        pauses.append((brake.until - AT).total_seconds())
        assert brake.room(4, brake.until) == 1
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    brake.note(Sent(), AT)
    assert brake.room(4, AT) == 4


def test_a_busy_gateway_gets_the_pause_it_asks_for_and_a_refused_text_holds_nobody_up() -> None:
    brake = Brake()
    brake.note(Refused("busy", again=True, after=timedelta(seconds=20)), AT)
    assert (brake.room(4, AT), brake.room(4, AT + timedelta(seconds=20))) == (0, 4)
    brake.note(Refused("refused"), AT)
    assert brake.room(4, AT) == 4
