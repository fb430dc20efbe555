"""OpenRosa without a server: who is let in, what the form says, what answers become."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from starlette.requests import Request

from services.intake.channels.openrosa import logins, replies
from services.intake.channels.openrosa.answers import LONGEST, report_of
from services.intake.channels.openrosa.digest import LASTS, Digest, NotProvenError
from services.intake.channels.openrosa.form import load_form
from services.intake.channels.openrosa.instances import read_instance
from services.intake.channels.openrosa.turns import OF_ONE, SMALL, Turns
from services.intake.channels.openrosa.upload import FORM, MOST_SENT, NotAForm, read_upload
from shared.errors import TooLarge, Unavailable
from shared.multipart import AROUND
from tests.support.xlsform import WORKBOOK, make_xform, read_source, read_workbook

if TYPE_CHECKING:
    from services.intake.report import ReportIn

AT = 1_800_000_000.0
URL = "http://test/intake/channels/openrosa/submission?deviceID=collect%3Ax"
TARGET = "/intake/channels/openrosa/submission?deviceID=collect%3Ax"
DIGEST = Digest(b"k" * 32)


def header(challenge: str, username: str = "abc", password: str | None = None) -> str:
    """Return what httpx, which knows nothing of us, answers to a challenge."""
    auth = httpx.DigestAuth(username, password or DIGEST.password(username))
    flow = auth.auth_flow(httpx.Request("POST", URL))
    asked = next(flow)
    told = httpx.Response(401, headers={"WWW-Authenticate": challenge}, request=asked)
    return str(flow.send(told).headers["authorization"])


@pytest.mark.parametrize("algorithm", [0, 1])
def test_a_password_is_proven_by_digest_for_this_request_alone(algorithm: int) -> None:
    said = header(DIGEST.challenges(AT)[algorithm])
    assert DIGEST.prove(said, "POST", TARGET, AT) == "abc"
    assert DIGEST.prove(said, "POST", TARGET, AT + LASTS - 1) == "abc"
    for method, target, at in (
        ("GET", TARGET, AT),
        ("POST", TARGET + "y", AT),
        ("POST", TARGET, AT + LASTS + 2),
        ("POST", TARGET, AT - 60),
    ):
        with pytest.raises(NotProvenError):
            DIGEST.prove(said, method, target, at)


def test_only_an_old_nonce_is_asked_for_anew() -> None:
    said = header(DIGEST.challenges(AT)[0])
    with pytest.raises(NotProvenError) as old:
        DIGEST.prove(said, "POST", TARGET, AT + LASTS + 2)
    assert old.value.stale
    assert "stale=true" in DIGEST.challenges(AT, stale=True)[0]
    with pytest.raises(NotProvenError) as wrong:
        DIGEST.prove(header(DIGEST.challenges(AT)[0], password="no"), "POST", TARGET, AT)
    assert not wrong.value.stale


@pytest.mark.parametrize("value", ["username", "nonce", "uri", "response", "nc", "cnonce"])
def test_every_changed_bit_of_a_proof_is_refused(value: str) -> None:
    said = header(DIGEST.challenges(AT)[1])
    found = re.search(rf'\b{value}="?([^",]+)', said)
    assert found
    for n in range(found.start(1), found.end(1)):
        changed = said[:n] + chr(ord(said[n]) ^ 1) + said[n + 1 :]
        with pytest.raises(NotProvenError):
            DIGEST.prove(changed, "POST", TARGET, AT)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Digest",
        "Digest =",
        'Digest username="a"',
        "Basic YTpi",
        "Digest a",
        "Digest " + "a=b," * 900,
    ],
)
def test_what_is_no_proof_is_refused(said: str) -> None:
    with pytest.raises(NotProvenError):
        DIGEST.prove(said, "POST", TARGET, AT)


def test_a_nonce_of_another_key_and_one_that_was_made_up_are_refused() -> None:
    for nonce in (Digest(b"x" * 32).nonce(AT), f"{int(AT):x}.00.{'0' * 32}", "x", ""):
        challenge = DIGEST.challenges(AT)[0].replace(_nonce(DIGEST.challenges(AT)[0]), nonce)
        challenge = f'Digest realm="Pashe", qop="auth", algorithm=MD5, nonce="{nonce}"'
        with pytest.raises(NotProvenError):
            DIGEST.prove(header(challenge), "POST", TARGET, AT)


def _nonce(challenge: str) -> str:
    return challenge.split('nonce="')[1].split('"', maxsplit=1)[0]


def test_passwords_differ_by_name_and_key_and_have_a_hundred_bits() -> None:
    words = {DIGEST.password("a"), DIGEST.password("b"), Digest(b"x" * 32).password("a")}
    assert len(words) == 3
    assert all(len(word.replace("-", "")) * 5 == 100 for word in words)


def test_the_settings_of_an_app_hold_its_login_and_delete_what_was_sent() -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    made = logins.settings_of(logins.Login("abc", "m1", at, at), "secret", "http://test/o")
    told = json.loads(zlib.decompress(base64.b64decode(made)))["general"]
    assert (told["server_url"], told["username"], told["password"]) == (
        *("http://test/o", "abc", "secret"),
    )
    assert told["delete_send"] is True
    assert told["analytics"] is False


def test_the_form_is_what_pyxform_makes_of_the_workbook_and_that_is_the_source() -> None:
    assert read_workbook() == read_source().sheets
    assert load_form().content.decode() == make_xform(WORKBOOK)


def test_every_question_and_choice_is_there_in_both_languages() -> None:
    source = read_source()
    pairs = [one.get(said) for one in source.questions for said in ("label", "hint")]
    pairs += [one.get("constraint_message") for one in source.questions]
    pairs += [pair for choices in source.told["choices"].values() for pair in choices.values()]
    said = [pair for pair in pairs if pair is not None]
    assert all(
        len(pair) == 2 and all(text.strip() not in ("", "-") for text in pair) for pair in said
    )
    shown = [one for one in source.questions if one["type"] not in ("start", "end")]
    assert all(one.get("label") for one in shown if not one["type"].startswith("end "))
    assert b"<value>-</value>" not in load_form().content


def test_the_list_of_forms_tells_no_topic_and_has_what_an_app_needs() -> None:
    form = load_form()
    listed = ET.fromstring(replies.form_list(form, "http://test", verbose=True).body)  # noqa: S314
    (one,) = listed
    told = {child.tag.rpartition("}")[2]: child.text for child in one}
    assert told["hash"] == f"md5:{hashlib.md5(form.content).hexdigest()}"  # noqa: S324
    assert told["downloadUrl"] == "http://test/forms/pashe.xml"
    assert (told["formID"], told["name"]) == ("pashe", "পাশে")
    none = replies.form_list(None, "http://test", verbose=False).body
    assert len(ET.fromstring(none)) == 0  # noqa: S314


ANSWERS = {
    "start": "2026-11-25T10:40:00.000+06:00",
    "end": "2026-11-25T10:50:00.000+06:00",
    "danger_now": "yes",
    "about": "people",
    "name": "Rina",
    "age_basis": "estimated",
    "age_from": "১৪",
    "age_to": "16",
    "sex": "female",
    "languages": "bn rhg",
    "support": "pregnant",
    "relation": "neighbour",
    "aware": "no",
    "lives_with_alleged": "unsure",
    "contact_safe": "yes",
    "contact_by": "sms",
    "contact_number": "01712345678",
    "contact_hours": "১৮:০০-২০:০০",
    "contact_ask_for": "Mina",
    "contact_shared": "yes",
    "agreed": "caregiver",
    "agreed_relation": "aunt",
    "agreed_child": "yes",
    "agreed_to": "refer contact",
    "agreed_how": "spoken",
    "agreed_witness": "a teacher",
    "agreed_explained": "yes",
    "place_role": "now",
    "district": "BD3026",
    "upazila": "BD30260038",
    "place_text": "by the river",
    "concerns": "child_labour neglect",
    "needs": "legal_aid",
    "happened_on": "2026-11-20",
    "ongoing": "yes",
    "alleged_known": "yes",
    "alleged_relation": "employer",
    "alleged_name": "Somebody",
    "alleged_office": "member",
    "alleged_near": "yes",
    "kept_from": "police ctc_member",
    "told": "1098",
    "narrative": "An invented story.",
    "photo": "1.jpg",
    "voice": "2.m4a",
    "identity": "shared",
}
META = "<meta><instanceID>uuid:1</instanceID></meta>"


def filled(form_id: str = "pashe", **answers: str) -> bytes:
    """Return an instance that answers every question, as the form lays them out."""
    told = {**ANSWERS, **answers}
    lines = []
    for one in read_source().questions:
        if one["type"] in ("begin repeat", "begin group"):
            lines.append(f"<{one['name']}>")
        elif one["type"] in ("end repeat", "end group"):
            lines.append(f"</{one['name']}>")
        elif one["name"] == "age":
            lines.append("<age/>")
        else:
            lines.append(f"<{one['name']}>{told.get(one['name'], '')}</{one['name']}>")
    return f'<data id="{form_id}" version="1">{"".join(lines)}{META}</data>'.encode()


def read(raw: bytes, *, known: bool = True) -> ReportIn:
    return report_of(read_instance(raw), known=known)


def test_every_answer_of_the_form_becomes_its_field_of_a_report() -> None:
    asked = {one["name"] for one in read_source().questions if " repeat" not in one["type"]}
    assert asked - set(ANSWERS) == {"age", "danger_line", "alleged"}
    told = read(filled()).model_dump(mode="json", by_alias=True)
    (person,) = told["persons"]
    assert told["narrative"] == "An invented story."  # nothing was left over
    assert told["device_time"].startswith("2026-11-25T10:50")
    assert told["observed_at"].startswith("2026-11-25T10:40")
    assert (told["danger_now"], told["about"]) == (True, "people")
    assert person["age"] == {"min": 14, "max": 16, "basis": "estimated"}
    assert (person["name"], person["sex"], person["languages"]) == ("Rina", "female", ["bn", "rhg"])
    assert person["safe_contact"]["allowed"]
    assert person["safe_contact"]["hours"] == ["18:00-20:00"]
    assert person["safe_contact"]["shared_phone"] is True
    (consent,) = told["consent"]
    assert (consent["given_by"], consent["basis"], consent["person"]) == (
        *("caregiver", "assent_and_caregiver", person["ref"]),
    )
    assert (consent["allows"], consent["explained"]) == (["refer", "contact"], True)
    (place,) = told["places"]
    assert (place["role"], place["pcode"], place["text"]) == ("now", "BD30260038", "by the river")
    assert told["concerns"] == ["child_labour", "neglect"]
    assert told["happened"]["from"].startswith("2026-11-20")
    assert told["alleged"][0]["office"] == "member"
    assert told["exclude"]["kinds"] == ["police", "ctc_member"]
    assert told["told_before"][0]["who"] == "1098"
    assert told["reporter"]["identity"] == "shared"
    assert [ref["value"] for ref in told["external_refs"]] == ["1.jpg", "2.m4a"]


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ({"concerns": "child_labour of_tomorrow"}, "concerns: of_tomorrow"),
        ({"age_from": "400"}, "age_from: 400"),
        ({"age_from": "x", "age_to": ""}, "age_from: x"),
        ({"happened_on": "yesterday"}, "happened_on: yesterday"),
        ({"happened_on": "0001-01-01"}, "happened_on: 0001-01-01"),
        ({"district": "BD9999", "upazila": ""}, "district: BD9999"),
        ({"contact_hours": "evening"}, "contact_hours: evening"),
        ({"agreed": "no"}, "agreed: no"),
        ({"contact_safe": "no"}, "contact_number: 01712345678"),
        ({"name": "a" * 201}, "name: " + "a" * 201),
        ({"danger_line": "changed"}, "danger_line: changed"),
        ({"kept_from": "police rina_begum"}, "kept_from: rina_begum"),
        ({"sex": "<b>of another version</b>"}, "b: of another version"),
    ],
)
def test_what_has_no_word_of_ours_is_left_for_a_person(answers: dict[str, str], left: str) -> None:
    told = read(filled(**answers))
    assert told.narrative is not None
    assert left in told.narrative.splitlines()
    assert told.danger_now is True


def test_a_district_and_an_upazila_of_another_are_both_told_and_neither_is_taken() -> None:
    (place,) = read(filled(district="BD1004")).places
    assert (place.role, place.pcode) == ("now", None)
    assert place.text is not None
    assert "Barguna (BD1004)" in place.text
    assert "Keraniganj (BD30260038)" in place.text
    assert place.text.endswith("by the river")


def test_ages_the_wrong_way_round_are_turned() -> None:
    age = read(filled(age_from="16", age_to="14")).persons[0].age
    assert age is not None
    assert (age.min, age.max) == (14, 16)


def test_a_report_needs_no_answer_at_all() -> None:
    told = read(f'<data id="pashe" version="1"><person/>{META}</data>'.encode())
    assert (told.persons, told.narrative, told.danger_now) == ([], None, None)


def test_of_another_form_every_answer_is_read_by_a_person() -> None:
    told = read(filled("another"), known=False)
    assert told.narrative is not None
    assert "concerns: child_labour neglect" in told.narrative.splitlines()
    assert told.concerns == []


def test_ten_thousand_characters_are_kept_and_a_whole_book_up_to_its_bound() -> None:
    assert read(filled(narrative="ক" * 10_000)).narrative == "ক" * 10_000
    book = read(filled(narrative="ক" * (LONGEST + 1))).narrative
    assert book is not None
    assert len(book) == LONGEST


def test_an_instance_that_corrects_another_is_a_report_of_its_own() -> None:
    raw = filled().replace(b"</meta>", b"<deprecatedID>uuid:0</deprecatedID></meta>")
    refs = [(ref.system, ref.value) for ref in read(raw).external_refs]
    assert refs[0] == ("openrosa.edits", "uuid:0")


def posted(files: Any, *, told: int | None = None) -> Request:
    """Return a request with a multipart body in pieces."""
    made = httpx.Request("POST", URL, files=files)
    body = made.read()
    pieces = [body[n : n + 50_000] for n in range(0, len(body), 50_000)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    headers = [(b"content-type", made.headers["content-type"].encode())]
    headers.append((b"content-length", str(told or len(body)).encode()))
    return Request({"type": "http", "headers": headers}, receive)


XML = ("form.xml", b"<data/>", "text/xml")


async def test_a_post_is_read_with_its_files_whatever_their_names() -> None:
    files = {FORM: XML, "ছবি.jpg": ("ছবি.jpg", b"abc"), "empty.jpg": ("empty.jpg", b"")}
    upload = await read_upload(posted(files), 100_000)
    assert (upload.xml, upload.files, upload.cut) == (b"<data/>", (b"abc",), False)


async def test_of_a_post_that_is_too_large_the_form_and_whole_files_are_read() -> None:
    files = {FORM: XML, "1.jpg": ("1.jpg", b"abc"), "2.mp4": ("2.mp4", bytes(500_000))}
    request = posted(files)
    upload = await read_upload(request, 100_000)
    assert (upload.xml, upload.files, upload.cut) == (b"<data/>", (b"abc",), True)


async def test_what_is_no_post_of_a_form_is_refused() -> None:
    with pytest.raises(NotAForm):
        await read_upload(posted({"1.jpg": ("1.jpg", b"abc")}), 100_000)
    with pytest.raises(NotAForm):
        await read_upload(posted({str(n): (str(n), b"a") for n in range(300)}), 100_000)
    two = [(FORM, XML), (FORM, ("other.xml", b"<other/>", "text/xml"))]
    with pytest.raises(NotAForm):  # of two, one would be lost
        await read_upload(posted(two), 100_000)
    with pytest.raises(TooLarge):
        await read_upload(posted({FORM: XML}, told=MOST_SENT + 1), 100_000)
    first = {"1.jpg": ("1.jpg", bytes(100_000 + AROUND)), FORM: XML}
    with pytest.raises(TooLarge):
        await read_upload(posted(first), 100_000)


async def test_one_member_who_sends_slowly_keeps_no_other_waiting() -> None:
    turns, large = Turns(), posted({FORM: XML}, told=SMALL + 1)
    async with AsyncExitStack() as slow:
        for _ in range(OF_ONE):
            await slow.enter_async_context(turns.turn(large, "slow"))
        with pytest.raises(Unavailable):
            async with turns.turn(large, "slow"):
                pass
        async with turns.turn(posted({FORM: XML}), "slow"):  # a form without files always
            pass
        async with turns.turn(large, "other"):
            pass
    async with turns.turn(large, "slow"):
        pass
