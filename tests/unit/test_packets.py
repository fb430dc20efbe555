"""A packet in each format: what was agreed to goes there and back, and nothing is guessed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyrage
import pytest
from fhir.resources.R4B.bundle import Bundle

from services.intake.exchange import htcds
from services.intake.exchange.fhir import read_bundle
from services.intake.exchange.htcds import Header, fields, read_object
from services.intake.exchange.primero import cases_in, read_case
from services.intake.exchange.rows import Refused, Row
from services.intake.exchange.tables import cells_of, shield, unshield
from services.intake.packets import alert
from services.intake.packets.connectors import FileDrop, connectors_from
from services.intake.packets.fhir_out import make_fhir
from services.intake.packets.htcds_out import make_csv, make_json
from services.intake.packets.packet import Made, Packet
from services.intake.packets.paper import FONT
from services.intake.packets.pdf_out import lines_of, make_pdf
from services.intake.packets.primero_out import make_primero
from services.intake.report import ReportIn
from shared.errors import Conflict, Forbidden, SettingsError
from shared.events import CaseFacts, CaseWork
from shared.vocabulary import Concern, Need, Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HTCDS = "ed54f948291122b4245c1ae26d584353cf7bb9122dae750fae6ccfef988f8856"
CASE, PACKET = UUID(int=1), UUID(int=2)
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
TODAY = date(2026, 11, 25)
FACTS = CaseFacts(
    report_id=UUID(int=3),
    channel="web",
    age=14,
    sex="female",
    upazila="BD30260072",
    district="BD3026",
    concerns=["child_trafficking", "forced_begging"],
    needs=["shelter", "legal_aid"],
    urgency="T1",
    languages=["bn"],
)
TOLD = {
    "name": "Invented রহিমা",
    "phone": "01712345678",
    "narrative": "=Invented words,\nin two lines.",
    "places": [{"role": "home", "text": "an invented lane"}],
    "support": [],
}
PLAIN = Packet(
    PACKET,
    CASE,
    "helpline-1098",
    AT,
    AT,
    FACTS,
    TOLD,
    {"min": 14, "max": 14, "basis": "stated"},
    "2026-11-20T00:00:00Z",
    references=[{"system": "police.gd", "value": "GD 123/2026"}],
)
EVERYTHING = replace(
    PLAIN,
    facts=CaseFacts(
        report_id=UUID(int=3),
        channel="web",
        sex="hijra",
        concerns=[str(one) for one in Concern],
        needs=[str(one) for one in Need],
        urgency="T0",
        languages=["rhg", "bn"],
        support=["step_free"],
    ),
    age={"min": 12, "max": 15, "basis": "estimated"},
)


def person(row: Row) -> dict[str, Any]:
    (found,) = ReportIn.model_validate({"channel": "partner", **row.body}).persons
    return found.model_dump(mode="json")


def from_csv(made: Made) -> Row:
    text = made.raw.decode("utf-8-sig")
    heads, row = csv.reader(io.StringIO(text, newline=""))
    return Header(heads).read(2, row, TODAY)


def from_json(made: Made) -> Row:
    (value,) = json.loads(made.raw)
    return read_object(1, value, TODAY)[0]


def from_primero(made: Made) -> Row:
    (value,) = cases_in(json.loads(made.raw))
    return read_case(1, value, TODAY)


def from_fhir(made: Made) -> Row:
    return read_bundle(1, json.loads(made.raw), TODAY)


WAYS: dict[str, tuple[Callable[[Packet], Made], Callable[[Made], Row]]] = {
    "htcds-csv": (make_csv, from_csv),
    "htcds-json": (make_json, from_json),
    "primero": (make_primero, from_primero),
    "fhir": (make_fhir, from_fhir),
}


@pytest.mark.parametrize("form", WAYS)
def test_a_packet_goes_there_and_back(form: str) -> None:
    make, read = WAYS[form]
    row = read(make(PLAIN))
    assert row.notes == [] or {note.rule for note in row.notes} == {"two-meanings"}
    found = person(row)
    assert (found["name"], found["sex"]) == ("Invented রহিমা", "female")
    assert "child_trafficking" in row.body["concerns"]
    if form != "primero":  # it has no number, begging or free text that was checked
        assert found["phone"].lstrip("+") == "8801712345678"
        assert row.body["concerns"] == ["child_trafficking", "forced_begging"]
        assert row.body["narrative"] == TOLD["narrative"]
        assert "an invented lane" in json.dumps(row.body["places"])
    if form in ("primero", "fhir"):
        assert row.body["needs"] == ["shelter", "legal_aid"]
        assert found["age"]["min"] == found["age"]["max"] == 14
    if form == "fhir":
        assert {"system": "police.gd", "value": "GD 123/2026"} in row.body["external_refs"]


@pytest.mark.parametrize("form", WAYS)
def test_what_a_format_has_no_word_for_is_told_in_words_and_nothing_is_guessed(form: str) -> None:
    make, read = WAYS[form]
    made = make(EVERYTHING)
    row, text = read(made), made.raw.decode("utf-8-sig")
    said = set(row.body["concerns"]) | set(row.body.get("needs", ()))
    codes = {*map(str, Concern), *map(str, Need)} - {"unsure", "unknown"}
    in_words = {one.partition(": ")[2] for one in made.rest}
    assert all(one in text for one in made.rest)
    mapped = {"adult_trafficking", "food_and_items"}  # told with a code that means more
    assert codes <= said | in_words | mapped
    if form != "fhir":
        assert "hijra" in in_words
    assert person(row)["sex"] in ("hijra", "unknown")  # never another


def test_htcds_names_and_codes_are_those_of_the_standard() -> None:
    for packet in (PLAIN, EVERYTHING):
        (row,) = json.loads(make_json(packet).raw)
        for name, value in row.items():
            assert name in fields(), name
            known = set(fields()[name].values())
            for one in value if isinstance(value, list) else [value]:
                assert not known or one in known, (name, one)
    heads = make_csv(PLAIN).raw.decode("utf-8-sig").splitlines()[0].split(",")
    assert heads == list(fields())
    assert len(heads) == 84


def test_the_list_of_htcds_is_the_one_that_was_compared_with_what_was_published() -> None:
    """Nine lists of codes stand in the survey form of UNMigration/HTCDS too: they are equal."""
    raw = htcds.FIELDS.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == HTCDS, "compare it with the standard anew"


def test_unknown_codes_are_told_by_line_and_kept() -> None:
    value = {"prs_FirstName": "Invented", "prs_Gender": "Robot", "vic_TypeOfExploitation": ["X"]}
    row, _ = read_object(7, value | {"their_own": "kept"}, TODAY)
    assert (row.line, row.original["their_own"]) == (7, "kept")
    rules = {(note.field, note.rule) for note in row.notes}
    assert rules == {
        ("prs_Gender", "unknown-value"),
        ("vic_TypeOfExploitation", "unknown-value"),
        ("column 4", "unknown-field"),
    }
    assert person(row)["sex"] == "unknown"
    bundle = json.loads(make_fhir(PLAIN).raw)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Condition":
            resource["code"] = {"coding": [{"system": "http://example.org", "code": "z"}]}
    row = read_bundle(1, bundle, TODAY)
    assert ("Condition.code", "unknown-value") in {(n.field, n.rule) for n in row.notes}
    assert row.body["concerns"] == []


@pytest.mark.parametrize(
    "value", [None, [], {}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "entry": [3]}]
)
def test_what_is_no_bundle_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        read_bundle(1, value, TODAY)


def test_the_bundle_is_fhir_and_its_references_resolve() -> None:
    for packet in (PLAIN, EVERYTHING):
        raw = json.loads(make_fhir(packet).raw)
        Bundle.model_validate(raw)
        urls = {entry["fullUrl"] for entry in raw["entry"]}
        text = json.dumps(raw)
        used = {part.split('"')[0] for part in text.split('"reference": "')[1:]}
        assert used <= urls


def test_primero_has_the_shape_and_ids_of_its_interface() -> None:
    told = json.loads(make_primero(PLAIN).raw)
    case = told["case"]["data"]
    assert case["module_id"] == "primeromodule-cp"
    assert case["protection_concerns"] == ["trafficked_smuggled"]
    assert case["services_section"][0]["service_type"] == "safehouse_service"
    for referral, service in zip(told["referrals"], case["services_section"], strict=True):
        assert referral["data"]["service_record_id"] == service["unique_id"]
        assert "forced_begging" in referral["data"]["notes"]


def test_no_cell_is_a_formula_and_the_reader_takes_the_sign_off() -> None:
    text = make_csv(PLAIN).raw.decode("utf-8-sig")
    assert "'=Invented words" in text
    for cell in ("=1", "'=1", "+8801", "-", "@x", "'", "plain", ""):
        assert unshield(shield(cell)) == cell
    assert cells_of(text.split("\r\n")[0], ",") is not None


def test_the_paper_is_a_pdf_with_our_font_and_tells_nothing_in_its_name() -> None:
    made = make_pdf(EVERYTHING)
    assert made.raw.startswith(b"%PDF-")
    assert b"NotoSans" in made.raw
    assert b"Invented" not in made.raw.split(b"stream")[0]
    assert make_pdf(EVERYTHING).raw == made.raw
    said = dict(lines_of(PLAIN))
    assert said["বয়স"] == "১৪ বছর"
    assert said["কী দরকার"]
    assert FONT.stat().st_size > 100_000


def test_nothing_is_told_that_was_not_agreed_to() -> None:
    closed = replace(PLAIN, told={}, references=())
    for make, _ in WAYS.values():
        raw = make(closed).raw
        assert b"Invented" not in raw
        assert b"1712345678" not in raw
    assert not {"নাম", "যা বলা হয়েছে"} & dict(lines_of(closed)).keys()


def test_a_drop_is_sealed_to_its_receiver_and_answers_are_laid_aside(tmp_path: Path) -> None:
    mine = pyrage.x25519.Identity.generate()
    env = {"INTAKE_NRM_DROP": str(tmp_path), "INTAKE_NRM_RECIPIENT": str(mine.to_public())}
    drop = connectors_from(env)["nrm"]
    assert isinstance(drop, FileDrop)
    made = make_json(PLAIN)
    drop.deliver(PACKET, made)
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"{PACKET}.json.age"
    assert pyrage.decrypt(file.read_bytes(), [mine]) == made.raw
    (tmp_path / "in").mkdir()
    good = {"packet_id": str(PACKET), "answer": "accepted", "by": "n1", "reference": "NRM-1"}
    (tmp_path / "in" / "a.json").write_text(json.dumps(good))
    (tmp_path / "in" / "b.json").write_text(json.dumps(good | {"answer": "maybe"}))
    (tmp_path / "in" / "c.json").write_text("no json")
    ((reply, read),) = list(drop.replies())
    drop.taken(read, known=True)
    assert (reply.answer, reply.reference) == ("accepted", "NRM-1")
    assert [one.name for one in (tmp_path / "done").iterdir()] == ["a.json"]
    assert sorted(one.name for one in (tmp_path / "refused").iterdir()) == ["b.json", "c.json"]


def test_half_a_setting_of_the_drop_stops_the_start() -> None:
    assert connectors_from({}) == {}
    for wrong in (
        {"INTAKE_NRM_DROP": "/x"},
        {"INTAKE_NRM_DROP": "/x", "INTAKE_NRM_RECIPIENT": "no key"},
    ):
        with pytest.raises(SettingsError):
            connectors_from(wrong)


MISSING = CaseFacts(report_id=UUID(int=3), channel="web", concerns=["missing_child"], age=9)


def test_the_notice_waits_for_the_question_about_the_reporter() -> None:
    with pytest.raises(Conflict, match="find out first"):
        alert.make(CASE, MISSING, "not_known", Role.SUPERVISOR)
    with pytest.raises(Forbidden):
        alert.make(CASE, MISSING, "yes", Role.COORDINATOR)
    done = alert.make(CASE, MISSING, "no", Role.COORDINATOR)
    assert (done.facts.work.alert, done.drafts[0].type) == ("out", "missing-alert-made")
    assert alert.make(CASE, MISSING, "yes", Role.SUPERVISOR).facts.work.alert == "out"


@pytest.mark.parametrize(
    "facts",
    [
        CaseFacts(report_id=UUID(int=3), channel="web"),
        CaseFacts(report_id=UUID(int=3), channel="web", concerns=["missing_child"], age=19),
        CaseFacts(
            report_id=UUID(int=3), channel="web", concerns=["missing_child"], excluded=["police"]
        ),
        CaseFacts(
            report_id=UUID(int=3),
            channel="web",
            concerns=["missing_child"],
            work=CaseWork(alert="out"),
        ),
    ],
)
def test_the_notice_is_for_a_missing_child_once_and_never_past_a_conflict(facts: CaseFacts) -> None:
    with pytest.raises(Conflict):
        alert.make(CASE, facts, "no", Role.SUPERVISOR)


def test_it_is_taken_down_once_and_its_event_says_nothing_of_why() -> None:
    out = alert.make(CASE, MISSING, "no", Role.SUPERVISOR).facts
    done = alert.take_down(CASE, out)
    assert done.facts.work == MISSING.work
    told = done.drafts[0].data
    assert isinstance(told, CaseFacts)
    assert told.step is not None
    assert told.step.reasons == []
    with pytest.raises(Conflict):
        alert.take_down(CASE, done.facts)
