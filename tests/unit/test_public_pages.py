"""Telling on the public page: what each step takes, and the report that it makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.intake.pages.public import steps
from services.intake.pages.public.learning import list_readings
from services.intake.pages.public.sealing import LASTS, Sealer
from services.intake.pages.public.told import (
    ABROAD,
    AGES,
    HOURS,
    SEXES,
    Person,
    Told,
    key_of,
    number_of,
    report_of,
)
from services.intake.report import ReportIn
from shared import places
from shared.bodies import validate
from shared.pages.forms import Form

AT = datetime(2026, 11, 29, tzinfo=UTC)
TOLD = Told(key="k")


def form(**fields: Any) -> Form:
    pairs = [(k, one) for k, v in fields.items() for one in (v if isinstance(v, list) else [v])]
    return Form(tuple(pairs))


def report(told: Told) -> ReportIn:
    return validate(ReportIn, report_of(told, "bn"))


def test_everything_may_be_left_out_and_the_report_is_still_one() -> None:
    told, step = TOLD, "now"
    seen = []
    while step != "review":
        seen.append(step)
        told = steps.take(step, form(), told).told
        step = steps.after(step, told)
    assert seen == ["now", "who", "where", "what", "agree"]
    made = report(told)
    assert made.about == "unsure"
    assert made.danger_now is None
    assert not [*made.persons, *made.places, *made.consent]
    assert not made.reporter.safe_contact.allowed


def test_no_step_is_counted_beyond_five_and_back_leads_to_the_first() -> None:
    told = replace(
        TOLD, who="several", persons=(Person(), Person()), district="BD3026", contact="sms"
    )
    step: str | None = "review"
    way = []
    while step is not None:
        way.append(step)
        step = steps.before(step, told)
    assert way == ["review", "contact", "agree", "what", "which", "where", "people", "who", "now"]
    assert max(steps.NUMBERS.values()) == 5


def test_persons_are_added_and_taken_away_one_by_one_and_keep_what_was_said() -> None:
    told = steps.take("who", form(who="several"), TOLD).told
    assert len(told.persons) == 2
    told = steps.take("people", form(age0=AGES[0], sex0="female", go="add"), told).told
    assert told.persons == (Person(AGES[0], "female"), Person(), Person())
    told = steps.take("people", form(age0=AGES[0], age2="900", go="fewer"), told).told
    assert told.persons == (Person(AGES[0]), Person())
    assert steps.take("who", form(who="place"), told).told.persons == ()


def test_a_place_in_any_spelling_is_found_and_a_tie_is_asked() -> None:
    sure = steps.take("where", form(place="keranigonj dhaka"), TOLD).told
    assert "BD3026" in places.ancestors(sure.pcode)
    assert steps.after("where", sure) == "what"
    twice = steps.take("where", form(place="কালীগঞ্জ"), TOLD).told
    assert twice.pcode == ""
    assert steps.after("where", twice) == "which"
    offered = steps.offered(twice)
    assert len(offered) > 1
    chosen = steps.take("which", form(which=offered[1]), twice).told
    assert report(chosen).places[0].pcode == offered[1]
    none = steps.take("which", form(which="none"), twice).told
    assert report(none).places[0].pcode is None
    assert report(none).places[0].text == "কালীগঞ্জ"


def test_a_district_alone_offers_what_lies_in_it_and_stands_if_nothing_is_chosen() -> None:
    told = steps.take("where", form(district="BD4041"), TOLD).told
    assert set(steps.offered(told)) == {
        p.pcode for p in places.all_places().values() if p.parent == "BD4041"
    }
    assert report(steps.take("which", form(), told).told).places[0].pcode == "BD4041"
    away = steps.take("where", form(place="দুবাই", district=ABROAD), TOLD).told
    assert (report(away).places[0].country, report(away).places[0].pcode) == ("ZZ", None)
    assert steps.offered(away) == []


def test_only_the_person_agrees_and_for_what_was_asked() -> None:
    mine = replace(TOLD, who="self", persons=(Person(AGES[4]),), agreed="yes", needs=("medical",))
    consent = report(mine).consent[0]
    assert (consent.given_by, consent.person, consent.explained) == ("person", "a", True)
    assert [str(need) for need in consent.purposes] == ["medical"]
    for other in ("one", "several", "place", "unsure"):
        assert report(replace(mine, who=other)).consent == []
    for answer in ("no", "later", ""):
        assert report(replace(mine, agreed=answer)).consent == []


def test_nobody_is_contacted_who_did_not_say_how_and_a_number_is_of_one_person() -> None:
    said = {
        "number": "০১৭১২-৩৪৫৬৭৮",
        "hours": ["evening"],
        "shared": "yes",
        "ask_for": "Rina",
        "agreed_word": "শাপলা",
    }
    told = steps.take("contact", form(**said), replace(TOLD, contact="sms")).told
    other = report(replace(told, who="one", persons=(Person(),)))
    contact = other.reporter.safe_contact
    assert (contact.allowed, contact.channel, contact.number) == (True, "sms", "+8801712345678")
    assert (contact.hours, contact.ask_for) == ([HOURS["evening"]], "Rina")
    assert (contact.safe_word, contact.shared_phone) == ("শাপলা", True)
    assert other.persons[0].safe_contact is None
    own = report(replace(told, who="self", persons=(Person(),)))
    assert own.persons[0].safe_contact == contact
    assert not own.reporter.safe_contact.allowed
    assert not report(replace(told, contact="no")).reporter.safe_contact.allowed


def test_a_wrong_number_is_asked_again_and_can_be_left_out() -> None:
    told = replace(TOLD, contact="call")
    assert steps.take("contact", form(number="123"), told).error is not None
    skipped = steps.take("contact", form(number="123", go="skip"), told)
    assert skipped.error is None
    assert steps.after("agree", skipped.told) == "review"


WORDS = st.text(max_size=30)
TELLING = st.builds(
    Told,
    key=st.just("k"),
    door=st.sampled_from(["tell", "help"]),
    danger=st.sampled_from(["", "yes", "no", "unsure"]),
    who=st.sampled_from(["", "self", "one", "several", "place", "unsure"]),
    persons=st.lists(
        st.builds(Person, st.sampled_from(["", *AGES]), st.sampled_from(["", *SEXES])), max_size=10
    ).map(tuple),
    place=WORDS,
    district=st.sampled_from(["", "BD3026", ABROAD]),
    pcode=st.sampled_from(["", "BD30260038"]),
    concerns=st.lists(st.sampled_from(steps.CONCERNS)).map(tuple),
    needs=st.lists(st.sampled_from(steps.NEEDS)).map(tuple),
    words=WORDS,
    agreed=st.sampled_from(["", "yes", "no", "later"]),
    aware=st.sampled_from(["", "yes", "no", "unsure"]),
    contact=st.sampled_from(["", "no", "sms", "call"]),
    number=st.one_of(WORDS, st.just("01712345678")),
    hours=st.lists(st.sampled_from(["morning", "evening", "x"])).map(tuple),
    ask_for=WORDS,
    shared=st.sampled_from(["", "yes", "no", "unsure"]),
)


@example(
    replace(
        TOLD, contact="sms", number="01712345678", hours=("morning",) * 15, needs=("medical",) * 60
    )
)
@given(TELLING)
def test_whatever_is_told_makes_a_report_that_is_taken(told: Told) -> None:
    if told.who == "self":
        told = replace(told, persons=told.persons[:1])
    made = report(told)
    if made.reporter.safe_contact.allowed or any(p.safe_contact for p in made.persons):
        assert told.contact in ("sms", "call")
        assert number_of(told.number) is not None
    assert made.reporter.identity == "hidden"


def test_the_same_words_are_sent_once_and_changed_words_anew() -> None:
    assert key_of(TOLD, b"a") == key_of(TOLD, b"a")
    assert key_of(TOLD, b"a") != key_of(TOLD, b"b")
    assert key_of(TOLD, b"a") != key_of(replace(TOLD, key="other"), b"a")


def test_what_a_form_carries_is_sealed_ours_alone_and_ends() -> None:
    now = [AT]
    sealer = Sealer(b"p" * 32, "told", lambda: now[0])
    told = replace(TOLD, words="শাপলা ফুল", number="01712345678")
    kept = sealer.seal(told)
    assert "01712345678" not in kept
    assert sealer.open(kept, Told) == told
    assert Sealer(b"p" * 32, "receipt", lambda: AT).open(kept, Told) is None
    assert Sealer(b"q" * 32, "told", lambda: AT).open(kept, Told) is None
    changed = kept[:40] + ("A" if kept[40] != "A" else "B") + kept[41:]
    for wrong in ("", "x", "আ", changed, kept[:-4]):
        assert sealer.open(wrong, Told) is None
    now[0] += LASTS + timedelta(seconds=1)
    assert sealer.open(kept, Told) is None


@pytest.mark.parametrize("language", ["bn", "en"])
def test_the_pages_to_read_are_there_in_both_languages(language: Any) -> None:
    readings = list_readings(language)
    assert [one.number for one in readings] == [1, 2, 3, 4]
    assert all(one.title and "<h1" not in one.text for one in readings)
