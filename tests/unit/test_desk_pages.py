"""What the desk's pages make of forms and answers, purely."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.intake.pages.desk.case import verbs_of
from services.intake.pages.desk.fields import json_of
from services.intake.pages.desk.names import STEPS, TASKS
from services.intake.pages.desk.queue import GROUPS
from services.referral.eligibility import AREA, CONFLICT, IN, NO_PLACE, NOT_ACTIVE, POLICE
from services.referral.pages.desk.view import choices_in

INTAKE = Path(__file__).resolve().parents[2] / "services" / "intake"
CONSTANTS = re.compile(r'^([A-Z_0-9]+): Final = "([a-z_0-9]+)"$', re.MULTILINE)
NAMED = re.compile(r"\bTask\(\s*([A-Z_0-9]+)\b")
KINDS = re.compile(r'Task\(\s*"([a-z_0-9]+)"')


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("text", "a"), ("once", "k"), ("version", "3"), ("back", "/")], {"text": "a"}),
        ([("concerns[]", "a"), ("concerns[]", "b"), ("needs[]", "")], {"concerns": ["a", "b"]}),
        ([("age:int", "১৪")], {"age": 14}),
        ([("age:int", "about ten")], {"age": "about ten"}),
        (
            [("goals.1.need", "b"), ("goals.0.need", "a"), ("goals.2.who", "")],
            {"goals": [{"need": "a"}, {"need": "b"}]},
        ),
        (
            [("persons.0.age:years", "9"), ("persons.0.contact.allowed:bool", "yes")],
            {
                "persons": [
                    {
                        "age": {"min": 9, "max": 9, "basis": "estimated"},
                        "contact": {"allowed": True},
                    }
                ]
            },
        ),
        ([("ends:time", "2026-12-01T08:30")], {"ends": "2026-12-01T08:30:00+06:00"}),
        ([("excluded:list", "police, c9")], {"excluded": ["police", "c9"]}),
        ([("text", "a"), ("text.more", "b")], {"text": "a"}),
        ([("__proto__", "x"), ("A b", "x"), ("a.b.c.d.e.f.g", "x")], {}),
        ([("conflict:bool", "no")], {"conflict": False}),
    ],
)
def test_a_form_is_the_json_that_its_names_say(
    fields: list[tuple[str, str]], said: dict[str, object]
) -> None:
    assert json_of(fields) == said


def case(**more: object) -> dict[str, object]:
    facts = {"about": "person", "entitled": True, "count": 1, "count_max": None}
    return {"status": "open", "facts": facts | more}


def test_what_is_most_wanted_stands_first_and_the_end_last() -> None:
    following = ("assign", "verify", "contacts", "close")
    seen = verbs_of(case(), following, set())
    assert seen[:2] == ["assign", "verify"]
    assert seen[-1] == "close"
    assert verbs_of(case(entitled=False), following, set())[0] == "triage"
    assert verbs_of(case(), following, {"triage"})[0] == "triage"
    assert "split" not in seen
    assert "split" in verbs_of(case(count=3), following, set())


def test_what_has_ended_is_only_opened_again_and_what_is_erased_nothing() -> None:
    closed = {"status": "closed", "facts": case()["facts"]}
    assert verbs_of(closed, ("reopen", "contacts"), set()) == ["reopen", "contacts"]
    erased = {"status": "erased", "facts": case()["facts"]}
    assert verbs_of(erased, (), set()) == []


def test_every_task_of_the_desk_has_a_name_and_a_group() -> None:
    texts = [file.read_text("utf-8") for file in INTAKE.rglob("*.py")]
    kinds = {kind for text in texts for kind in KINDS.findall(text)}
    assert kinds
    shared = dict(CONSTANTS.findall((INTAKE / "casework" / "tasks.py").read_text("utf-8")))
    for text in texts:
        known = shared | dict(CONSTANTS.findall(text))
        kinds |= {known[name] for name in NAMED.findall(text) if name in known}
    assert {"errand_not_done", "silence_beside", "visit_overdue"} <= kinds
    grouped = {kind for some in GROUPS.values() for kind in some}
    assert kinds <= set(TASKS)
    assert set(TASKS) == grouped
    assert {"assign", "verify", "assess", "safety-plan", "plan", "contacts", "harm"} <= set(STEPS)


def line(offer: str, *out: str) -> dict[str, object]:
    told = {"offer_id": offer, "provider_id": f"p-{offer}", "verdict": out[0] if out else IN}
    return told | ({"out": list(out)} if out else {})


def test_a_person_chooses_among_what_can_what_they_may_decide_and_what_is_further_away() -> None:
    told = {
        "considered": [
            line("far", AREA),
            line("second"),
            line("full", NO_PLACE),
            line("office", NOT_ACTIVE),
            line("near", AREA),
            line("first"),
            line("police", POLICE),
            {"verdict": CONFLICT},
            line("other", "does not serve the need"),
        ],
        "ranking": ["first", "second"],
        "beyond": ["near", "far"],
    }
    found = choices_in(told, {"p-first": {"en": "First", "bn": "প্রথম"}}, "en")
    assert [one.offer_id for one in found.able] == ["first", "second"]
    assert found.able[0].name == "First"
    assert [one.offer_id for one in found.beyond] == ["near", "far"]
    assert {one.offer_id for one in found.decide} == {"full", "police"}
    assert [one.offer_id for one in found.call] == ["office"]
    assert found.decide[0].why
