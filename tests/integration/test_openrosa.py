"""OpenRosa on a whole stack: what an app that fills forms asks and sends, well and badly.

The form is filled by JavaRosa, the engine of ODK Collect itself.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.intake.channels.openrosa.form import FILE, load_form
from services.intake.channels.openrosa.instances import MOST_BYTES, MOST_LEVELS
from services.intake.media.rules import rules_on
from shared import places
from shared.clock import now
from shared.membership import Membership
from shared.vocabulary import Role
from tests.support.collect import Collect, message_of
from tests.support.javarosa import Filled, fill
from tests.support.pictures import AMR, OGG, mp4, picture
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

LOGINS = "/intake/v1/openrosa/logins"
ROSA = "/intake/channels/openrosa"
CANARY = "CanaryRinaOfTheRiver"


@pytest.fixture(scope="module")
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    with whole_stack.client(timeout=30) as client:
        yield client


class Member:
    """A committee member with an app on a phone."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.http, self.stack = http, stack
        self.subject = f"m-{uuid4().hex[:8]}"
        self.bearer = stack.bearer(Role.COMMITTEE_MEMBER, subject=self.subject)
        self.desk = stack.bearer(Role.SUPERVISOR)
        made = http.post(LOGINS, headers=self.bearer)
        assert made.status_code == 201, made.text
        self.login = made.json()
        self.app = Collect(self.login["settings"])

    async def stored(self) -> list[dict[str, Any]]:
        """Return what is stored of this member, oldest first, with the files kept of each."""
        conn = await self.stack.connect("intake")
        try:
            rows = await conn.fetch(
                "SELECT submission_id, message_id, report::text AS report, case_ids, actor,"
                " entitled,"
                " (SELECT count(*) FROM attachments a WHERE a.submission_id = s.submission_id)"
                " AS files FROM submissions s WHERE channel = 'openrosa' AND actor = $1"
                " ORDER BY seq",
                f"committee_member:{self.subject}",
            )
        finally:
            await conn.close()
        return [{**row, "report": json.loads(row["report"])} for row in rows]

    async def case(self, submission: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of a report's case, once it is open."""
        path = f"/intake/v1/cases/{submission['case_ids'][0]}"

        def look() -> Any:
            return self.http.get(path, headers=self.desk).json().get("facts")

        found: dict[str, Any] = await eventually(look, 20, "the case")
        return found


@pytest.fixture
def member(whole_stack: Stack, http: httpx.Client) -> Member:
    return Member(whole_stack, http)


def instance(
    words: str = "An invented report.",
    *,
    form: str = "pashe",
    version: str | None = None,
    own: str | None = None,
    more: str = "",
) -> bytes:
    """Return a filled form as an app writes it."""
    meta = f"<orx:meta><orx:instanceID>{own or f'uuid:{uuid4()}'}</orx:instanceID></orx:meta>"
    return (
        f'<?xml version="1.0"?><data xmlns:orx="http://openrosa.org/xforms" id="{form}"'
        f' version="{version or load_form().version}"><danger_now>no</danger_now>{more}'
        f"<narrative>{words}</narrative>{meta}</data>"
    ).encode()


@pytest.fixture(scope="module")
def filled() -> Filled:
    """The form as JavaRosa fills it, with mistakes that a hand makes."""
    answers: dict[str, list[Any]] = {
        "danger_now": [None, "no"],
        "about": ["people"],
        "name": [CANARY],
        "age_basis": ["estimated"],
        "age_from": ["200", "14"],
        "age_to": ["3", "16"],
        "sex": ["female"],
        "languages": [["bn", "rhg"]],
        "contact_safe": ["yes"],
        "contact_number": ["12345", "01712345678"],
        "contact_hours": ["সন্ধ্যা", "18:00-20:00"],
        "agreed": ["later"],
        "place_role": ["now"],
        "district": ["BD3026"],
        "upazila": ["BD30260038"],
        "concerns": [["child_labour", "unsure"], ["child_labour"]],
        "needs": [["legal_aid"]],
        "happened_on": ["2199-01-01", "2026-11-20"],
        "alleged_known": ["no"],
        "narrative": ["মেয়েটি কারখানায় কাজ করে।"],
        "photo": ["1.jpg"],
        "voice": ["2.amr"],
        "more": [1],
    }
    return fill(FILE, answers, "বাংলা (bn)")


def test_the_engine_of_odk_fills_the_form_in_bangla_and_refuses_what_cannot_be(
    filled: Filled,
) -> None:
    assert filled.languages == ["বাংলা (bn)", "English (en)"]
    assert [(name, why) for name, why, _ in filled.refused[:3]] == [
        ("danger_now", "required"),
        ("age_from", "constraint"),
        ("age_to", "constraint"),
    ]
    refused = {name: said for name, _, said in filled.refused}
    assert set(refused) == {
        *("danger_now", "age_from", "age_to", "contact_number", "contact_hours"),
        *("concerns", "happened_on"),
    }
    assert refused["age_from"] == "০ থেকে ১২০-এর মধ্যে লিখুন"
    assert filled.asked["danger_now"] == "এই মুহূর্তে কি কারও বিপদ?"
    assert "হ্যাঁ" in filled.choices["danger_now"]
    keraniganj = places.find("BD30260038")
    assert keraniganj is not None
    assert keraniganj.name_bn in filled.choices["upazila"]
    assert len(filled.choices["upazila"]) < 60  # those of one district
    assert {"age_from", "contact_number"} <= set(filled.asked)
    hidden = {"danger_line", "age", "agreed_to", "agreed_relation", "alleged_name"}
    assert not hidden & set(filled.asked)


def test_where_there_is_danger_the_engine_shows_the_line_and_asks_no_person_of_a_place() -> None:
    answers: dict[str, list[Any]] = {
        "danger_now": ["yes"],
        "about": ["place"],
        "alleged_known": ["yes"],
        "more": [],
    }
    seen = fill(FILE, answers, "English (en)")
    assert "999" in seen.asked["danger_line"]
    assert "alleged_name" in seen.asked
    assert not {"name", "sex", "agreed"} & set(seen.asked)
    assert b"<person>" not in seen.xml


async def test_what_the_engine_made_is_sent_in_parts_and_again_and_is_one_report(
    member: Member, filled: Filled
) -> None:
    with httpx.Client(timeout=10) as stranger:
        asked = stranger.get(f"{member.app.url}/formList")
    challenges = asked.headers.get_list("www-authenticate")
    assert asked.status_code == 401
    assert [one.split()[0] for one in challenges] == ["Digest", "Digest"]
    (form,) = member.app.forms()
    assert member.app.download(form) == FILE.read_bytes()
    photo = picture(size=(2400, 1800)) + bytes(6_000_000)
    files = {"1.jpg": photo, "2.amr": AMR + bytes(7_000_000)}
    answers = member.app.send(filled.xml, files)
    assert [answer.status_code for answer in answers] == [201, 201]
    assert [answer.headers["x-openrosa-version"] for answer in answers] == ["1.0", "1.0"]
    assert all(len(answer.headers.get_list("date")) == 1 for answer in answers)
    assert message_of(answers[-1]) == "Received"
    again = member.app.send(filled.xml, files)  # the answer was lost on its way
    assert [answer.status_code for answer in again] == [202, 202]

    (one,) = await member.stored()
    assert one["files"] == 2
    assert UUID(one["message_id"].removeprefix("uuid:"))
    assert CANARY not in json.dumps(one["report"])
    assert one["report"]["concerns"] == ["child_labour"]
    assert [p["age"]["min"] for p in one["report"]["persons"]] == [14, 14]
    case = await member.case(one)
    assert (case["channel"], case["upazila"], case["sex"]) == ("openrosa", "BD30260038", "female")

    def listed() -> bool:
        own = member.http.get("/intake/v1/cases", headers=member.bearer).json()["items"]
        return {item["case_id"] for item in own} == {str(case_id) for case_id in one["case_ids"]}

    await eventually(listed, what="cases below every open transaction")
    path = f"/intake/v1/cases/{one['case_ids'][0]}/attachments"
    shown = member.http.get(path, headers=member.desk).json()["items"]
    assert {item["kind"] for item in shown} == {"image", "audio"}


async def test_fifty_posts_of_one_instance_at_once_are_one_report(member: Member) -> None:
    xml, photo = instance(), picture()
    headers = dict(member.bearer)

    def post(_: int) -> int:
        files = [("xml_submission_file", ("f.xml", xml)), ("1.jpg", ("1.jpg", photo))]
        return member.http.post(f"{ROSA}/submission", files=files, headers=headers).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(post, range(50)))
    assert set(statuses) <= {201, 202}
    (one,) = await member.stored()
    assert one["files"] == 1


async def test_an_instance_with_another_content_is_refused_and_of_another_member_is_another(
    member: Member, whole_stack: Stack, http: httpx.Client
) -> None:
    own = f"uuid:{uuid4()}"
    assert member.app.send(instance("one", own=own), {})[0].status_code == 201
    (changed,) = member.app.send(instance("two", own=own), {"1.jpg": picture()})
    assert changed.status_code == 409
    assert "instanceID" in message_of(changed)
    other = Member(whole_stack, http)
    assert other.app.send(instance("three", own=own), {})[0].status_code == 201
    (one,) = await member.stored()
    assert one["files"] == 0


async def test_after_an_erasure_the_same_form_is_nothing_new_and_another_is_never_lost(
    member: Member, whole_stack: Stack
) -> None:
    own = f"uuid:{uuid4()}"
    assert member.app.send(instance("one", own=own), {})[0].status_code == 201
    (one,) = await member.stored()
    await member.case(one)
    asked = {"asked_by": "person", "identity_check": "call_back"}
    path = f"/intake/v1/cases/{one['case_ids'][0]}/erase"
    coordinator = whole_stack.bearer(Role.COORDINATOR)
    for by, status in ((coordinator, 202), (member.desk, 200)):
        assert member.http.post(path, json=asked, headers=by).status_code == status
    (again,) = member.app.send(instance("one", own=own), {})
    assert again.status_code == 202  # so the app deletes it
    (other,) = member.app.send(instance("two", own=own), {})
    assert other.status_code == 409
    (late,) = member.app.send(instance("one", own=own), {"1.jpg": picture()})
    assert late.status_code == 409
    (left,) = await member.stored()
    assert left["files"] == 0
    assert set(left["report"]) == {"form"}


async def test_whose_membership_has_ended_makes_no_login_and_what_they_send_a_person_releases(
    member: Member, whole_stack: Stack
) -> None:
    yesterday = (now() - timedelta(days=2)).date()
    ended = [Membership("ctc_member", "BD3026", None, yesterday)]
    bearer = whole_stack.bearer(Role.COMMITTEE_MEMBER, subject=member.subject, memberships=ended)
    assert member.http.post(LOGINS, headers=bearer).status_code == 403
    for headers, word in ((member.bearer, "held"), (bearer, "ended")):
        files = {"xml_submission_file": ("f.xml", instance(word))}
        answer = member.http.post(f"{ROSA}/submission", files=files, headers=headers)
        assert answer.status_code == 201  # never lost
    assert [one["entitled"] for one in await member.stored()] == [True, False]


async def test_what_is_too_large_or_a_film_never_costs_the_report(member: Member) -> None:
    large = rules_on(now()).max_bytes + MOST_BYTES + 1_000_000
    film, photo = mp4(b"isom", b"vide"), picture() + bytes(large)
    one, other = instance(), instance()
    for xml, name, raw, status in ((one, "a.mp4", film, 415), (other, "b.jpg", photo, 413)):
        (answer,) = member.app.send(xml, {name: raw})
        assert answer.status_code == status  # the app keeps the form and says why
        assert message_of(answer)
    assert [report["files"] for report in await member.stored()] == [0, 0]
    (answer,) = member.app.send(other, {"c.ogg": OGG, "empty.jpg": b""})
    assert answer.status_code == 201
    assert [report["files"] for report in await member.stored()] == [0, 1]


async def test_another_form_or_version_is_kept_for_a_person_to_read(member: Member) -> None:
    encrypted = instance("AAAA", form="somebody_elses").replace(
        b"<data ", b'<data encrypted="yes" '
    )
    for xml in (
        instance(f"amar bon {CANARY}", form="somebody_elses"),
        instance(version="1999", more="<sex_of_old>x</sex_of_old>"),
        encrypted,
        instance("ক" * 10_000),
        instance(more="<photo>never-comes.jpg</photo>"),
    ):
        (answer,) = member.app.send(xml, {})
        assert answer.status_code == 201, answer.text
    found = await member.stored()
    assert len(found) == 5
    assert CANARY not in json.dumps([one["report"] for one in found])
    assert [one["report"]["form"]["version"] for one in found[:2]] == [None, "1999"]
    for one in found:
        await member.case(one)


BOMB = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"no xml " + CANARY.encode(),
        instance()[:-20],
        BOMB + instance(more="<a>&b;</a>")[21:],
        instance("কখগ").replace("কখগ".encode(), b"\xe9\xff"),
        instance().replace(b'"1.0"', b'"1.0" encoding="no-such"'),
        instance().replace(b"instanceID", b"anotherID"),
        instance().replace(b'id="pashe"', b""),
        b"<data>" * (MOST_LEVELS + 1),
        instance("a" * MOST_BYTES),
    ],
    ids=range(10),
)
async def test_what_is_no_filled_form_is_refused_clearly(member: Member, xml: bytes) -> None:
    where = f"{member.app.url}/submission"
    answer = member.app.post(where, xml, {"1.jpg": picture()})
    assert answer.status_code == 400
    assert message_of(answer).startswith("This is no filled form")
    assert CANARY not in answer.text
    assert await member.stored() == []


def test_a_file_without_a_form_is_refused(member: Member) -> None:
    url = f"{member.app.url}/submission"
    alone = member.app.ask("POST", url, files={"1.jpg": ("1.jpg", picture())})
    assert (alone.status_code, message_of(alone)) == (
        *(400, "This is no filled form: xml_submission_file is missing"),
    )
    assert member.app.ask("POST", url, content=b"x").status_code == 400


def test_who_is_not_proven_is_asked_before_anything_is_read(
    member: Member, http: httpx.Client, whole_stack: Stack
) -> None:
    told = member.login
    wrong = [
        httpx.DigestAuth(told["username"], "aaaaa-aaaaa-aaaaa-aaaaa"),
        httpx.DigestAuth("nobody", told["password"]),
        httpx.BasicAuth(told["username"], told["password"]),
    ]
    for auth in wrong:
        for method, path in (("GET", "formList"), ("HEAD", "submission"), ("POST", "submission")):
            answer = http.request(method, f"{ROSA}/{path}", auth=auth)
            assert answer.status_code == 401
            assert answer.headers.get_list("www-authenticate")[0].startswith("Digest ")
    begun = f"POST {ROSA}/submission HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
    assert whole_stack_answers(whole_stack, begun).startswith(b"HTTP/1.1 401")
    coordinator = whole_stack.bearer(Role.COORDINATOR)
    assert http.get(f"{ROSA}/formList", headers=coordinator).status_code == 403
    assert http.get(f"{ROSA}/forms/other.xml", headers=member.bearer).status_code == 404


def whole_stack_answers(stack: Stack, begun: str) -> bytes:
    """Begin a request at the service itself, without its body, and return how its answer begins."""
    import socket  # noqa: PLC0415

    port = stack.part("intake")["port"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(begun.encode())
        return line.recv(200)


def test_a_login_is_shown_once_and_ended_by_its_member_or_the_desk(
    member: Member, http: httpx.Client, whole_stack: Stack
) -> None:
    other = Member(whole_stack, http)
    mine = http.get(LOGINS, headers=member.bearer).json()["items"]
    assert [one["username"] for one in mine] == [member.login["username"]]
    assert member.login["password"] not in json.dumps(mine)
    path = f"{LOGINS}/{member.login['username']}"
    assert http.delete(path, headers=other.bearer).status_code == 404
    assert len(member.app.forms()) == 1
    assert http.delete(path, headers=member.desk).status_code == 204
    assert member.app.ask("GET", f"{member.app.url}/formList").status_code == 401
    assert http.delete(path, headers=member.bearer).status_code == 404
    for _ in range(5):
        assert http.post(LOGINS, headers=member.bearer).status_code == 201
    assert http.post(LOGINS, headers=member.bearer).status_code == 409
    every: list[str] = []
    after: str | None = ""
    while after is not None:
        query: dict[str, str | int] = {"limit": 3, "after": after}
        page = http.get(LOGINS, params=query, headers=member.desk).json()
        every += [one["member"] for one in page["items"]]
        after = page["next"]
    assert every.count(member.subject) == 5
    assert every.count(other.subject) == 1
