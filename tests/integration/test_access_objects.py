"""Every endpoint about one case × role × organisation × place × object, over one connection.

The matrix decides what is expected (`shared.access_rules.decide` on the object's facts); what is
refused must be answered exactly as if the thing were not there, and what is allowed must not.
Callers take turns on one kept-alive connection, so that nothing of one is left for the next.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import pytest

from shared.access import Caller, make_token
from shared.access_rules import Matter, Verb, decide, load_matrix, reach_of
from shared.membership import Membership
from shared.paging import decode_cursor, encode_cursor
from shared.vocabulary import Role
from tests.support.matrix import read_endpoints, read_reaches, verb_of
from tests.support.pictures import picture
from tests.support.wait import eventually_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

ROWS: Final = read_endpoints()
ABOUT: Final = {endpoint: verb for endpoint in ROWS if (verb := verb_of(endpoint)) is not None}
INSIDE, OUTSIDE = ("BD3026",), ("BD2013",)
UPAZILA = "BD30260038"
HERE: Final = Membership("ctc_member", UPAZILA)
TAG: Final = uuid4().hex[:8]
PARTNER: Final = f"example-partner-{TAG}"
NAMED, WORKER = f"named-{TAG}", f"worker-{TAG}"
IDS: Final = ("case_id", "task_id", "submission_id", "referral_id", "attachment_id")
NARROWER: Final = re.compile("disclosures|/proof$")
"""Endpoints for fewer roles than their verb reaches: a name once more, and exact events to keep."""
UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"


def test_the_document_says_what_the_matrix_says() -> None:
    told = {verb: reaches for verb, reaches in load_matrix().items() if verb in set(Verb)}
    assert read_reaches() == told


def test_an_endpoint_about_a_case_is_ticked_for_whom_its_verb_reaches() -> None:
    for endpoint, verb in ABOUT.items():
        ticked = {role for role, tick in ROWS[endpoint].items() if tick}
        assert ticked <= set(load_matrix()[verb]), endpoint
        if endpoint.startswith("GET") and not NARROWER.search(endpoint):
            providers = {"provider_worker", "provider_system"}
            desk_only = providers if "/intake/" in endpoint else set()
            assert ticked == set(load_matrix()[verb]) - desk_only, endpoint
    named = {
        e
        for e in ROWS
        if re.search(r"{(case_id|referral_id|task_id|submission_id|attachment_id)}", e)
    }
    assert named == set(ABOUT), "an endpoint about a case has no verb"


HOLD: Final = {"reason": "complaint"}
BODIES: Final[dict[str, Any]] = {
    "question": {"text": "A question?"},
    "close": {"reason": "could_not_be_found"},
    "consent": {"decision": "given", "given_by": "person", "explained": True},
    "assign": {"worker": "somebody-1", "supervisor": "somebody-2"},
    "verify": {"finding": "unknown", "means": "phone"},
    "assess": {"instrument": "pashe-risk-1", "answers": {}},
    "safety-plan": {"text": "A plan"},
    "plan": {
        "goals": [{"need": "legal_aid", "who": "somebody-1", "by": "2999-01-01"}],
        "agreed_by": "person",
        "how": "spoken",
    },
    "contacts": {"means": "phone", "result": "no_answer"},
    "notes": {"text": "A note"},
    "reopen": {"reason": "new_information"},
    "split": {"persons": [{}, {}]},
    "link": {"case_id": UNKNOWN},
    "unlink": {"case_id": UNKNOWN},
    **{key: {"case_id": UNKNOWN} for key in ("merge", "unmerge", "different", "not-different")},
    "packets": {"to": "centre-b", "format": "pdf"},
    "answer": {"answer": "received", "by": "somebody-1"},
    "references": {"system": "police.gd", "value": "GD 12/2026"},
    "missing-alert": {
        "reporter_danger": "no",
        "checked": "asked",
        "basis": "caregiver",
        "last_seen": "a market",
    },
    "missing-alert-down": {"text": "found"},
    "handover": {"to": "centre-b"},
    "feedback": {"helped": "yes"},
    "visits": {"who": "somebody-1", "expected_back": "2999-01-01T00:00:00Z"},
    "visit-back": {"visit_id": UNKNOWN},
    "committee-tasks": {
        "member": "somebody-1",
        "kind": "accompany",
        "at": "2999-01-01T00:00:00Z",
    },
    "open": {"reason": "review"},
    "original": {"reason": "court"},
    "erase": {"asked_by": "person", "identity_check": "document"},
    "cases/hold": HOLD,
    "told": {"how": "call"},
    "milestone": {"kind": "follow_up"},
    "appointment": {"kind": "visit", "at": "2999-01-01T00:00:00Z"},
    "refer-onward": {"need": "legal_aid"},
    "Task": {"resourceType": "Task", "status": "accepted", "intent": "order"},
    "decline": {"reason": "no_capacity"},
    "fail": {"reason": "no_capacity"},
    "withdraw": {"reason": "duplicate"},
}
"""What each change needs to be valid; all come with a version that is not the present one."""


def path_end(endpoint: str) -> str:
    """Return the last word of an endpoint, of a hold with what is held."""
    of, _, end = re.sub(r"/{\w+}", "", endpoint).rpartition("/")
    return f"{of.rsplit('/', 1)[1]}/{end}" if end == "hold" else end


@dataclass(slots=True)
class Thing:
    """One case of the test with what hangs on it; `owner` is who reported it."""

    name: str
    ids: dict[str, str]
    owner: str
    matter: Matter = field(default_factory=Matter)


@dataclass(frozen=True, slots=True)
class Asker:
    """A caller of the test, and what distinguishes it."""

    name: str
    caller: Caller
    headers: dict[str, str]


class Ground:
    """A running stack, and the objects of the test."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.stack = stack
        self.http = http
        self.chief = stack.bearer(Role.SUPERVISOR, subject=f"chief-{TAG}")
        self.asked: Counter[str] = Counter()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query, headers=self.chief)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        answer = self.http.post(path, json=body, headers=headers or self.chief)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    def report(self, name: str, who: Caller, **more: Any) -> Thing:
        """Report somebody in Keraniganj; the case gets a task by words that come with a receipt."""
        body = {
            "channel": "partner",
            "about": "people",
            "persons": [{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "female"}],
            "places": [{"role": "now", "pcode": UPAZILA}],
            **more,
        }
        made = self.post("/intake/v1/reports", body, self.headers(who))
        (case_id,) = made["case_ids"]
        self.post("/intake/v1/receipts/messages", {"receipt": made["receipt"], "text": "more"})
        ids = {"case_id": case_id}
        sent = self.http.post(
            "/intake/v1/receipts/attachments",
            data={"receipt": made["receipt"]},
            files={"file": picture()},
            headers=self.chief,
        )
        assert sent.status_code == 201, sent.text

        def opened() -> bool:
            case = self.get(f"/intake/v1/cases/{case_id}")
            tasks = self.get("/intake/v1/tasks", case_id=case_id)["items"]
            ids["submission_id"] = case["submission_id"]
            ids["task_id"] = tasks[0]["task_id"]
            (kept,) = self.get(f"/intake/v1/cases/{case_id}/attachments")["items"]
            ids["attachment_id"] = kept["attachment_id"]
            return case["facts"] is not None

        eventually_now(opened, 60, "an open case")
        self.post(f"/intake/v1/cases/{case_id}/hold", HOLD)
        org = who.org if who.role is Role.PARTNER and who.org else who.actor
        return Thing(name, ids, org)

    def refer(self, thing: Thing) -> str:
        """Wait for the referral of a case; return its provider."""

        def assigned() -> dict[str, Any] | None:
            found = self.get("/referral/v1/referrals", case_id=thing.ids["case_id"])["items"]
            return next((r for r in found if r["state"] == "assigned"), None)

        found = eventually_now(assigned, 60, "an assigned referral")
        thing.ids["referral_id"] = found["referral_id"]
        return str(found["provider_id"])

    def settle(self, thing: Thing, provider: str | None, kind: str) -> None:
        """Wait until every service knows a case as it is now; keep what a decision must know."""
        case_id = thing.ids["case_id"]
        told = self.get(f"/intake/v1/cases/{case_id}")["facts"]
        assigned = frozenset({told["worker"]} if told["worker"] else ())
        thing.matter = Matter(
            thing.owner,
            told["upazila"],
            told["district"],
            frozenset(told["excluded"]),
            assigned,
            provider,
        )

        def known() -> bool:
            lines = self.get(f"/audit/v1/cases/{case_id}/history")["items"]
            return kind in {line["type"] for line in lines}

        eventually_now(known, 60, f"{kind} in the history")

    def headers(self, who: Caller) -> dict[str, str]:
        token = make_token(
            self.stack.seed,
            who.role,
            subject=who.subject,
            org=who.org,
            places=who.places,
            memberships=who.memberships,
        )
        return {"authorization": f"Bearer {token}"}

    def asker(self, name: str, role: Role, subject: str, **more: Any) -> Asker:
        caller = Caller(f"{subject}-{TAG}", role, **more)
        return Asker(f"{role} {name}", caller, self.headers(caller))

    def ask(self, endpoint: str, ids: dict[str, str], who: Asker) -> tuple[int, str]:
        """Ask an endpoint about something; return status and body."""
        method, path = endpoint.split(" ")
        path = re.sub(r"{(\w+)}", lambda found: ids.get(found[1], UNKNOWN), path)
        query = "?reason=review" if path.endswith(("/persons", "/notes", "/messages")) else ""
        body = None if method in ("GET", "DELETE") else BODIES.get(path_end(endpoint), {})
        headers = who.headers | {"if-match": '"999999"'}
        answer = self.http.request(method, path + query, json=body, headers=headers)
        assert answer.status_code < 500, (endpoint, who.name, answer.text)
        self.asked[str(who.caller.role)] += 1
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def ground(whole_stack: Stack) -> Iterator[Ground]:
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    with whole_stack.client(timeout=60, limits=one) as client:
        yield Ground(whole_stack, client)


@pytest.fixture(scope="module")
def things(ground: Ground) -> list[Thing]:
    """Make one case of each kind, and let all services know it."""
    partner = Caller(f"p-{TAG}", Role.PARTNER, PARTNER)
    member = Caller(f"member-{TAG}", Role.COMMITTEE_MEMBER, None, (), (HERE,))
    operator = Caller(f"operator-{TAG}", Role.OPERATOR)
    consent = [{"person": "a", "given_by": "person", "allows": ["refer"], "basis": "consent"}]
    served = {"needs": ["psychosocial"], "consent": consent}
    plain = ground.report("plain", partner, **served)
    conflict = ground.report("conflict", partner, **served)
    closed = ground.report("given to a worker", partner)
    stub = ground.report("a member's", member, channel="committee")
    lost = ground.report("a member's with a conflict", member, exclude={"kinds": ["ctc_member"]})
    call = ground.report("an operator's", operator, channel="helpline")
    provider = ground.refer(plain)
    other = ground.refer(conflict)
    excluded = [NAMED, other, "up_chair", "ctc_member"]
    ground.post(f"/intake/v1/cases/{conflict.ids['case_id']}/triage", {"excluded": excluded})
    worker = ground.headers(Caller(WORKER, Role.COORDINATOR))
    ground.post(f"/intake/v1/cases/{closed.ids['case_id']}/close", BODIES["close"], worker)
    ground.settle(plain, provider, "referral-assigned")
    ground.settle(conflict, other, "case-triaged")
    ground.settle(closed, None, "case-closed")
    for thing in (stub, lost, call):
        ground.settle(thing, None, "case-created")
    named = ground.headers(Caller(NAMED, Role.COORDINATOR))

    def hidden() -> bool:
        path = f"/referral/v1/referrals/{conflict.ids['referral_id']}"
        notices = ground.http.get(
            "/notification/v1/notices", params={"case_id": conflict.ids["case_id"]}, headers=named
        )
        gone = ground.http.get(path, headers=named).status_code == 404
        return gone and notices.json()["items"] == []

    eventually_now(hidden, 60, "a conflict that every service knows")
    return [plain, conflict, closed, stub, lost, call]


ENDED: Final = Membership("ctc_member", UPAZILA, None, date(2026, 1, 1))
FUTURE: Final = Membership("ctc_member", UPAZILA, date(2999, 1, 1))
ELSEWHERE: Final = Membership("ctc_member", "BD20130022")
CHAIR: Final = Membership("up_chair", UPAZILA)
FORMER_CHAIR: Final = Membership("up_chair", UPAZILA, None, date(2026, 1, 1))
PLACES: Final[dict[str, tuple[str, ...]]] = {"whole": (), "inside": INSIDE, "outside": OUTSIDE}
MEMBERS: Final[dict[str, tuple[Membership, ...]]] = {
    "now": (HERE,),
    "ended": (ENDED,),
    "future": (FUTURE,),
    "never": (),
    "of another place": (ELSEWHERE,),
    "and a chair": (HERE, CHAIR),
}


def everybody(providers: set[str]) -> Iterator[tuple[str, Role, str, dict[str, Any]]]:
    """Yield a name, role, subject and the rest of each caller: all that makes a difference."""
    for name, places in PLACES.items():
        for subject in ("other", "named", "worker"):
            yield f"{subject} {name}", Role.COORDINATOR, subject, {"places": places}
        yield name, Role.SUPERVISOR, "other", {"places": places}
    yield "chair", Role.SUPERVISOR, "other", {"memberships": (CHAIR,)}
    yield "former chair", Role.SUPERVISOR, "other", {"memberships": (FORMER_CHAIR,)}
    for subject in ("other", "named"):
        yield subject, Role.AUDITOR, subject, {"places": OUTSIDE}
        yield subject, Role.OPERATIONS, subject, {"places": OUTSIDE}
    for org in (PARTNER, "example-other-partner"):
        yield org, Role.PARTNER, "somebody", {"org": org}
    for name, held in MEMBERS.items():
        yield name, Role.COMMITTEE_MEMBER, "member", {"memberships": held}
    yield "other", Role.COMMITTEE_MEMBER, "colleague", {"memberships": (HERE,)}
    for subject in ("operator", "colleague"):
        yield subject, Role.OPERATOR, subject, {"org": "helpline"}
    for org in sorted(providers | {"example-somebody-else"}):
        yield org, Role.PROVIDER_WORKER, "somebody", {"org": org}
        yield org, Role.PROVIDER_SYSTEM, "somebody", {"org": org}


@pytest.fixture(scope="module")
def askers(ground: Ground, things: list[Thing]) -> list[Asker]:
    """Make callers of every role, organisation, place and membership."""
    providers = {thing.matter.provider for thing in things if thing.matter.provider}
    return [
        ground.asker(name, role, subject, **more)
        for name, role, subject, more in everybody(providers)
    ]


def expects(who: Asker, verb: Verb, thing: Thing) -> bool:
    return bool(decide(who.caller, verb, thing.matter, datetime.now(UTC)))


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_one_thing_is_asked_about_as_everybody(
    ground: Ground, things: list[Thing], askers: list[Asker], capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = dict.fromkeys(
        ("case_id", "task_id", "submission_id", "referral_id", "attachment_id"), UNKNOWN
    )
    outcomes: Counter[tuple[str, bool]] = Counter()
    leaks, losses = [], []
    # a hold is lifted last: until then nothing is erased, whoever may erase
    for endpoint in sorted(ABOUT, key=lambda e: e.startswith("DELETE")):
        named = set(re.findall(r"{(\w+)}", endpoint))
        (needed,) = named & unknown.keys()
        allowed = [who for who in askers if ROWS[endpoint][who.caller.role]]
        nothing = {who.name: ground.ask(endpoint, unknown, who) for who in allowed}
        for thing in things:
            if needed not in thing.ids:
                continue
            for who in allowed:
                if endpoint.startswith("DELETE"):  # there is a hold to lift for each
                    ground.post(f"/intake/v1/cases/{thing.ids['case_id']}/hold", HOLD)
                seen = ground.ask(endpoint, thing.ids, who) != nothing[who.name]
                expected = expects(who, ABOUT[endpoint], thing)
                outcomes[thing.name, expected] += 1
                if seen and not expected:
                    leaks.append((endpoint, who.name, thing.name))
                elif expected and not seen and named == {needed}:  # else: nothing of it is there
                    losses.append((endpoint, who.name, thing.name))
    with capsys.disabled():
        total, refused = sum(outcomes.values()), sum(n for (_, ok), n in outcomes.items() if not ok)
        print(
            f"\naccess matrix: {len(ABOUT)} endpoints × {len(askers)} callers × {len(things)} cases"
            f" = {total} combinations of roles that may ask, {refused} refused, {len(leaks)} leaks,"
            f" {sum(ground.asked.values())} requests over one connection"
        )
    assert leaks == []
    assert losses == []
    assert all(n for n in outcomes.values())
    assert {ok for _, ok in outcomes} == {True, False}


LISTS: Final = (
    ("GET /intake/v1/cases", Verb.SEE, "case_id"),
    ("GET /intake/v1/submissions", Verb.SEE, "submission_id"),
    ("GET /intake/v1/tasks", Verb.SEE, "case_id"),
    ("GET /referral/v1/referrals", Verb.REFERRAL, "referral_id"),
    ("GET /audit/v1/entries", Verb.HISTORY, "subject"),
)


@pytest.fixture(scope="module")
def since(ground: Ground, things: list[Thing]) -> str:
    """Return the cursor of what was stored from the first of the things on."""
    who = ground.headers(Caller("x", Role.PARTNER, PARTNER))
    told = ground.http.get("/intake/v1/cases", params={"limit": 1}, headers=who).json()
    assert [c["case_id"] for c in told["items"]] == [things[0].ids["case_id"]]
    xid, _ = decode_cursor(told["next"])
    return encode_cursor([xid, 0])


@pytest.mark.parametrize("which", LISTS, ids=lambda which: which[0])
def test_a_list_shows_what_can_be_asked_about(
    ground: Ground,
    things: list[Thing],
    askers: list[Asker],
    since: str,
    which: tuple[str, Verb, str],
) -> None:
    endpoint, verb, key = which
    wrong = []
    for who in askers:
        if not ROWS[endpoint][who.caller.role]:
            continue
        shown = {str(item[key]) for item in listed(ground, endpoint, things, since, who)}
        for thing in things:
            name = thing.ids.get("case_id" if key == "subject" else key)
            if name and (name in shown) != expects(who, verb, thing):
                wrong.append((who.name, thing.name, name in shown))
    assert wrong == []


def listed(
    ground: Ground, endpoint: str, things: list[Thing], since: str, who: Asker
) -> Iterator[Any]:
    """Yield what a list shows somebody of what was stored from the first of the things on."""
    path = endpoint.split(" ")[1]
    queries: list[dict[str, str]] = [{"case_id": thing.ids["case_id"]} for thing in things]
    if path.endswith(("cases", "submissions")):
        queries = [{"after": since}]
    elif path.endswith("tasks"):  # some are done by now
        queries += [query | {"state": "done"} for query in queries]
    elif path.endswith("entries"):
        lines = ground.get(f"/audit/v1/cases/{things[0].ids['case_id']}/history")["items"]
        size = ground.get("/audit/v1/log")["size"]
        queries = [{"after": encode_cursor([lines[0]["index"], size])}]
    for query in queries:
        after: dict[str, str] = {}
        while True:
            wanted = {"limit": "200"} | query | after
            answer = ground.http.get(path, params=wanted, headers=who.headers)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            yield from told["items"]
            if told["next"] is None:
                break
            after = {"after": told["next"]}


def test_a_preview_and_notices_tell_nothing_of_a_case_that_cannot_be_asked_about(
    ground: Ground, things: list[Thing], askers: list[Asker]
) -> None:
    preview, notices = "POST /referral/v1/routing/preview", "GET /notification/v1/notices"
    for who in askers:
        for thing in things:
            case_id = thing.ids["case_id"]
            if ROWS[preview][who.caller.role]:
                body = {"case_id": case_id, "need": "psychosocial"}
                path = preview.split(" ")[1]
                answer = ground.http.post(path, json=body, headers=who.headers)
                allowed = expects(who, Verb.EXPLAIN, thing)
                assert answer.status_code == (200 if allowed else 404), (who.name, thing.name)
            if ROWS[notices][who.caller.role] and not expects(who, Verb.NOTICE, thing):
                path = notices.split(" ")[1]
                answer = ground.http.get(path, params={"case_id": case_id}, headers=who.headers)
                assert answer.json()["items"] == [], (who.name, thing.name)


def test_a_stub_says_that_it_is_there_and_nothing_of_what_came_of_it(
    ground: Ground, things: list[Thing], askers: list[Asker]
) -> None:
    case_id = things[3].ids["case_id"]
    who = next(a for a in askers if a.name == "committee_member now")
    told = ground.http.get(f"/intake/v1/cases/{case_id}", headers=who.headers)
    listed = ground.http.get("/intake/v1/cases", headers=who.headers).json()["items"]
    stub = {
        "case_id": case_id,
        "submission_id": things[3].ids["submission_id"],
        "status": "open",
        "stub": True,
    }
    assert told.json() == stub
    assert listed == [stub]
    assert "etag" not in told.headers


def test_whoever_can_read_history_but_is_no_auditor_reads_no_event(
    ground: Ground, things: list[Thing], askers: list[Asker]
) -> None:
    path = f"/audit/v1/cases/{things[0].ids['case_id']}/history"
    for who in askers:
        if reach_of(who.caller.role, Verb.HISTORY) and expects(who, Verb.HISTORY, things[0]):
            events = [
                line["event"] for line in ground.http.get(path, headers=who.headers).json()["items"]
            ]
            assert events
            auditor = who.caller.role is Role.AUDITOR
            assert all(("data" in event) == auditor for event in events if event)
