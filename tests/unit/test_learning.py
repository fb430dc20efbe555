"""The modules as they stand, grading, certificates, and who may see a case without training."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from services.intake import learning
from services.intake.learning import certificate
from services.intake.learning.modules import Module, find_module, grade, list_modules
from services.intake.learning.service import _completion, _rows
from services.intake.learning.store import Passed
from shared.access import Caller, caller_of
from shared.access_rules import (
    Matter,
    Refused,
    Verb,
    Why,
    decide,
    is_trained,
    load_matrix,
    memberships_for,
    needs_training,
    reach_of,
    scope_of,
)
from shared.errors import InvalidBody, Unauthenticated
from shared.membership import Training
from shared.sessions import change_session, make_session
from shared.vocabulary import Role
from tests.support.glossary import forbidden

NOON = datetime(2026, 5, 4, 6, tzinfo=UTC)
TODAY = date(2026, 5, 4)
PEOPLE = [Role(name) for name in load_matrix()["training"]]
SEED = b"s" * 32
CONTENT = Path(learning.__file__).with_name("content")


def first() -> Module:
    found = find_module("bn", "safeguarding")
    assert found is not None
    return found


def test_both_languages_ask_the_same() -> None:
    bangla, english = list_modules("bn"), list_modules("en")
    assert len(bangla) >= 6
    for one, other in zip(bangla, english, strict=True):
        assert (one.name, one.number, one.holds) == (other.name, other.number, other.holds)
        assert len(one.questions) >= 3
        for ours, theirs in zip(one.questions, other.questions, strict=True):
            assert (len(ours.answers), ours.right) == (len(theirs.answers), theirs.right)
        assert {"<h2>", "<li>"} <= {tag for tag in ("<h2>", "<li>") if tag in one.text}
    assert [one.number for one in bangla] == list(range(1, len(bangla) + 1))


@pytest.mark.parametrize("file", sorted(CONTENT.rglob("*.md")), ids=lambda file: file.name)
def test_no_module_holds_a_word_that_no_screen_holds(file: Path) -> None:
    assert forbidden(file.read_text("utf-8"), str(file)) == []


def test_the_right_answers_are_not_all_at_the_same_place() -> None:
    for module in list_modules("bn"):
        assert len({question.right for question in module.questions}) > 1


def test_every_module_that_a_role_needs_is_there() -> None:
    assert {find_module("en", name) for name in load_matrix()["training"].values()} - {None}


def test_grading() -> None:
    module = first()
    right = [question.right for question in module.questions]
    assert grade(module, right).passed
    wrong = [*right[:-1], None]
    assert (grade(module, wrong).passed, grade(module, wrong).wrong) == (False, (len(right) - 1,))
    easier = replace(module, right=0.5)
    assert grade(easier, wrong).passed
    assert not grade(easier, [None] * len(right)).passed
    for bad in ([], right[:-1], [*right, 0], [99, *right[1:]], [-1, *right[1:]]):
        with pytest.raises(InvalidBody):
            grade(module, bad)


def someone(role: Role, *training: Training, session: str | None = "s") -> Caller:
    held = memberships_for(role)
    return Caller("me", role, "org", memberships=held, session=session, training=training)


@pytest.mark.parametrize("role", PEOPLE)
def test_who_signed_in_sees_nothing_of_a_case_before_the_module(role: Role) -> None:
    matter = Matter(owner="org" if role is Role.PARTNER else f"{role}:me", provider="org")
    needed = needs_training(role)
    assert needed is not None
    verbs = [verb for verb in Verb if reach_of(role, verb)]
    held = Training(needed, TODAY)
    for verb in verbs:
        assert decide(someone(role), verb, matter, NOON) == Refused(Why.TRAINING)
        assert scope_of(someone(role), verb, NOON).organisation == ""
        assert decide(someone(role, Training("another", TODAY)), verb, matter, NOON) == Refused(
            Why.TRAINING
        )
        assert decide(someone(role, held), verb, matter, NOON)
        assert decide(someone(role, session=None), verb, matter, NOON)  # a script's token
        assert not decide(someone(role, held), verb, matter, NOON + timedelta(days=1))


def test_a_training_ends_with_a_day_in_dhaka() -> None:
    held = someone(Role.COORDINATOR, Training("safeguarding", TODAY))
    assert is_trained(held, datetime(2026, 5, 4, 17, 59, tzinfo=UTC))
    assert not is_trained(held, datetime(2026, 5, 4, 18, 0, tzinfo=UTC))


def test_systems_and_operations_need_none() -> None:
    for role in (Role.PARTNER, Role.PROVIDER_SYSTEM, Role.OPERATIONS):
        assert is_trained(someone(role), NOON)


@pytest.mark.parametrize("trained", [[{}], [{"module": 1, "until": "2026-01-01"}], ["x"], "x", 5])
def test_a_session_with_a_strange_training_is_none(trained: object) -> None:
    with pytest.raises(Unauthenticated):
        caller_of({"sub": "me", "role": "coordinator", "trained": trained})


def test_a_session_that_learned_something_is_the_same_one() -> None:
    made = make_session(SEED, {"sub": "me", "role": "coordinator", "sid": "one"})
    held = Training("safeguarding", TODAY).claim()
    changed, ends = change_session(SEED, made, {"trained": [held]})
    assert changed != made
    assert ends > datetime.now(UTC)
    with pytest.raises(Unauthenticated):
        change_session(b"t" * 32, made, {"trained": [held]})


def test_a_certificate_holds_from_the_first_hour_of_its_day_in_dhaka_to_the_last() -> None:
    held = Training("safeguarding", date(2027, 11, 29))
    made = certificate.sign(SEED, "me", held, date(2026, 11, 30))
    claims = jwt.decode(made, options={"verify_signature": False})
    began = datetime.fromtimestamp(claims["nbf"], UTC).isoformat()
    ends = datetime.fromtimestamp(claims["exp"], UTC).isoformat()
    assert (began, ends) == ("2026-11-29T18:00:00+00:00", "2027-11-29T17:59:59+00:00")


def test_a_certificate_says_whose_and_what_and_ends() -> None:
    passed = datetime.now(UTC).date()
    held = Training("safeguarding", passed + timedelta(days=365))
    made = certificate.sign(SEED, "me", held, passed)
    assert certificate.check(SEED, made) == ("me", held)
    head, body, tail = made.split(".")
    assert certificate.check(SEED, f"{head}.{body[:-2]}xx.{tail}") is None
    assert certificate.check(b"t" * 32, made) is None
    assert certificate.check(SEED, "no certificate") is None
    over = certificate.sign(
        SEED, "me", Training("safeguarding", date(2020, 1, 1)), date(2019, 1, 1)
    )
    assert certificate.check(SEED, over) is None
    assert certificate.check(SEED, make_session(SEED, {"sub": "me", "module": "x"})) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("me,safeguarding,2026-05-04", Passed("me", "safeguarding", TODAY, date(2027, 5, 4), "by")),
        (
            " me , safeguarding ,2026-05-04",
            Passed("me", "safeguarding", TODAY, date(2027, 5, 4), "by"),
        ),
        (",safeguarding,2026-05-04", "subject"),
        ("x" * 65 + ",safeguarding,2026-05-04", "subject"),
        ("me,gardening,2026-05-04", "unknown-module"),
        ("me,safeguarding,04/05/2026", "date"),
        ("me,safeguarding", "date"),
        ("me,safeguarding,2026-05-05", "in-the-future"),
    ],
)
def test_a_completion_of_elsewhere_is_taken_or_says_why_not(line: str, found: object) -> None:
    [row] = _rows(f"subject,module,passed_on\n{line}\n")
    assert _completion(row, TODAY, "by") == found


def test_a_table_is_read_whatever_ends_its_lines() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["subject,module,passed_on", "me,safeguarding,2026-05-04", ""])
        assert [row["subject"] for row in _rows(text)] == ["me"]


@pytest.mark.parametrize(
    "text",
    ["", "a,b,c\n", "subject;module;passed_on\n", "subject\r,module,passed_on\n", "x" * 200_000],
)
def test_a_table_without_its_columns_is_refused(text: str) -> None:
    with pytest.raises(InvalidBody):
        _rows(text)
