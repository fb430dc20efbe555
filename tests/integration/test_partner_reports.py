"""Partners' systems on a whole stack: by Kafka, by HTTP and by a file, each report once."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from joserfc.jwk import ECKey

from deploy.local.home import Home, find_state
from services.intake.partners.reading import TYPE
from services.intake.seals import seal
from shared.kafka import KafkaLogin
from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.stack import Stack

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "channels.md"
CANARY = "RinaOfTheInventedRiver"
WANTED = {
    "channel": "web",
    "about": "service_wanted",
    "reporter": {"kind": "self"},
    "persons": [{"ref": "a", "age": {"min": 24, "max": 24, "basis": "stated"}, "sex": "female"}],
    "places": [{"role": "now", "pcode": "BD30260038"}],
    "needs": ["legal_aid"],
    "consent": [{"person": "a", "given_by": "person", "allows": ["refer"], "basis": "consent"}],
}


@pytest.fixture
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    with whole_stack.client(timeout=60) as client:
        yield client


class Line:
    """A partner that seals its reports and writes them to its own topic."""

    def __init__(self, http: httpx.Client, topic: str, producer: AIOKafkaProducer) -> None:
        self.http, self.topic, self.producer = http, topic, producer
        (published,) = http.get("/intake/v1/keys").json()["keys"]
        self.key = ECKey.import_key(published)

    def event(self, event_id: str, body: Any, **change: Any) -> bytes:
        sealed = seal(self.key, json.dumps(body).encode(), {"ce_id": event_id})
        told = {
            "specversion": "1.0",
            "id": event_id,
            "source": "urn:example:line",
            "type": TYPE,
            "datacontenttype": "application/jose",
            "data": sealed,
        }
        return json.dumps(told | change).encode()

    async def send(self, value: bytes | None) -> None:
        await self.producer.send_and_wait(self.topic, value, key=b"always the same")


@asynccontextmanager
async def line(stack: Stack, http: httpx.Client, key: str) -> AsyncIterator[Line]:
    """Admit a partner as `pashe kafka grant` does, and sign in as it."""
    told = json.loads(stack.pashe("kafka", "grant", "partner", key))
    login = KafkaLogin(told["bootstrap"], told["username"], told["password"])
    producer = AIOKafkaProducer(**login.client())
    await producer.start()
    try:
        yield Line(http, told["topic"], producer)
    finally:
        await producer.stop()


def find(http: httpx.Client, stack: Stack, org: str, system: str, value: str) -> list[Any]:
    answer = http.post(
        "/intake/v1/reports/find",
        json={"system": system, "value": value},
        headers=stack.bearer(Role.PARTNER, org),
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_a_partner_reports_by_kafka_and_finds_what_became_of_it(
    whole_stack: Stack, http: httpx.Client
) -> None:
    body = {
        "about": "people",
        "narrative": CANARY,
        "persons": [{"ref": "a", "name": CANARY, "age": {"min": 12, "max": 12}}],
        "concerns": ["child_labour"],
        "external_refs": [{"system": "line", "value": "L-1"}],
    }
    async with line(whole_stack, http, "example-line") as partner:
        await partner.send(b"no JSON")
        await partner.send(partner.event("e-1", body))
        await partner.send(partner.event("e-1", body))
        await partner.send(partner.event("e-2", body, data={"narrative": CANARY}))
        await partner.send(partner.event("e-3", body | {"partner": "example-other"}))
        await partner.send(partner.event("e-4", body | {"concerns": [CANARY]}))
        await partner.send(None)
        await partner.send(partner.event("e-5", body | {"external_refs": []}))

        def last() -> list[Any]:
            return find(http, whole_stack, "example-line", "cloudevent", "e-5")

        await eventually(last, 40, "the last of the partner's reports")
        (first,) = find(http, whole_stack, "example-line", "line", "L-1")
        assert find(http, whole_stack, "example-line", "cloudevent", "e-1") == [first]
        assert find(http, whole_stack, "example-other", "line", "L-1") == []
    (case_id,) = first["case_ids"]
    own = whole_stack.bearer(Role.PARTNER, "example-line")

    def opened() -> dict[str, Any] | None:
        found = http.get(f"/intake/v1/cases/{case_id}", headers=own).json()
        return found["facts"] if found.get("facts") else None

    facts = await eventually(opened, 20, "the case")
    assert (facts["channel"], facts["concerns"], facts["age"]) == ("partner", ["child_labour"], 12)
    other = whole_stack.bearer(Role.PARTNER, "example-other")
    assert http.get(f"/intake/v1/cases/{case_id}", headers=other).status_code == 404
    conn = await whole_stack.connect("intake")
    try:
        rows = await conn.fetch(
            "SELECT id, reason, value, detail FROM parked WHERE consumer = 'intake.partner'"
            " AND topic = 'submissions.partner.example-line' ORDER BY id"
        )
        reasons = [row["reason"] for row in rows]
        assert reasons == ["not-json", "not-sealed", "another-partner", "invalid-report", "empty"]
        assert all(CANARY.encode() not in (row["value"] or b"") for row in rows)
        assert all(CANARY not in row["detail"] for row in rows)
        whole_stack.pashe("parked", "replay", "intake", str(rows[1]["id"]))
        await eventually(
            lambda: find(http, whole_stack, "example-line", "cloudevent", "e-2"), 20, "the replay"
        )
        await conn.execute(
            "UPDATE parked SET state = 'dismissed', ended_at = now()"
            " WHERE consumer = 'intake.partner' AND state = 'waiting'"
        )
    finally:
        await conn.close()


def test_a_partner_reports_by_http_in_its_own_name(whole_stack: Stack, http: httpx.Client) -> None:
    ref = {"system": "nrm", "value": f"N-{uuid4()}"}
    own = whole_stack.bearer(Role.PARTNER, "example-partner")
    body = {"channel": "partner", "about": "people", "external_refs": [ref]}
    made = http.post("/intake/v1/reports", json=body, headers=own)
    assert made.status_code == 201
    (found,) = find(http, whole_stack, "example-partner", "nrm", ref["value"])
    assert found["case_ids"] == made.json()["case_ids"]
    assert find(http, whole_stack, "example-other", "nrm", ref["value"]) == []


def rows_of(count: int) -> str:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["prs_FirstName", "prs_Gender", "vic_TypeOfExploitation", "our own"])
    for n in range(count):
        table.writerow([f'Invented, "{n}"', "Masculine", "ChildLabour;ForcedBegging", "=1+1"])
    return out.getvalue()


def send_file(
    http: httpx.Client, stack: Stack, format_: str, content: Any, **query: str
) -> dict[str, Any]:
    answer = http.post(
        f"/intake/v1/imports/{format_}",
        content=content,
        params=query,
        headers=stack.bearer(Role.PARTNER, "example-importer"),
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_file_is_taken_row_by_row_and_once(whole_stack: Stack, http: httpx.Client) -> None:
    text = rows_of(250) + "one cell\n" + "Invented,Lady,,\n"
    dry = send_file(http, whole_stack, "htcds", text.encode(), dry_run="true")
    assert (dry["rows"], dry["stored"], dry["refused"]) == (252, 0, 1)
    first = send_file(http, whole_stack, "htcds", text.encode("utf-8-sig"))
    assert (first["stored"], first["repeated"], first["refused"]) == (251, 0, 1)
    assert (first["unknown_columns"], first["lines"]) == (
        [4],
        [
            {"line": 252, "result": "refused", "notes": [{"field": "row", "rule": "cells"}]},
            {
                "line": 253,
                "result": "taken",
                "notes": [{"field": "prs_Gender", "rule": "unknown-value"}],
            },
        ],
    )
    again = send_file(http, whole_stack, "htcds", text.encode())
    assert (again["stored"], again["repeated"]) == (0, 251)
    twin = "prs_Gender\n" + "Feminine\n" * 2
    assert send_file(http, whole_stack, "htcds", twin.encode())["stored"] == 2
    assert send_file(http, whole_stack, "htcds", twin.encode())["repeated"] == 2
    bad = http.post(
        "/intake/v1/imports/htcds",
        content=f"{CANARY},14\n".encode(),
        headers=whole_stack.bearer(Role.SUPERVISOR),
    )
    assert (bad.status_code, CANARY in bad.text) == (422, False)


async def test_a_primero_file_is_taken_with_its_references(
    whole_stack: Stack, http: httpx.Client, tmp_path: Path
) -> None:
    case: dict[str, Any] = {
        "id": str(uuid4()),
        "sex": "male",
        "age": 11,
        "risk_level": "high",
        "name": CANARY,
    }
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"data": [case]}))
    for option, stored in (("--dry-run", 0), (None, 1), (None, 0)):
        words = ["import", "primero", str(file), "--partner", "example-importer"]
        told = json.loads(whole_stack.pashe(*words, *([option] if option else [])))
        assert (told["rows"], told["stored"]) == (1, stored)
        assert CANARY not in json.dumps(told)
    (found,) = find(http, whole_stack, "example-importer", "primero.id", case["id"])
    (case_id,) = found["case_ids"]
    desk = whole_stack.bearer(Role.COORDINATOR)

    def opened() -> Any:
        return http.get(f"/intake/v1/cases/{case_id}", headers=desk).json().get("facts")

    facts = await eventually(opened, 20, "the case")
    assert (facts["age"], facts["sex"], facts["urgency"]) == (11, "male", "T1")


async def test_a_grown_up_who_wants_help_is_referred_like_anybody(
    whole_stack: Stack, http: httpx.Client
) -> None:
    """No concern, no signed-in reporter: a coordinator looks, and what she asked for is planned."""
    ref = {"system": "test", "value": str(uuid4())}
    marked = {**WANTED, "external_refs": [ref]}
    assert http.post("/intake/v1/reports", json=marked).status_code == 201
    desk = whole_stack.bearer(Role.COORDINATOR)

    def opened() -> Any:
        found = http.post("/intake/v1/reports/find", json=ref, headers=desk).json()["items"]
        case_id = found[0]["case_ids"][0]
        case = http.get(f"/intake/v1/cases/{case_id}", headers=desk).json()
        return case if case.get("facts") else None

    case = await eventually(opened, 20, "the case")
    facts = case["facts"]
    assert (facts["about"], facts["age"], facts["needs"]) == ("person", 24, ["legal_aid"])
    assert facts["consent"]["given"]
    triaged = http.post(f"/intake/v1/cases/{case['case_id']}/triage", json={}, headers=desk)
    assert triaged.status_code == 200

    def referred() -> Any:
        query = {"case_id": case["case_id"]}
        found = http.get("/referral/v1/referrals", params=query, headers=desk).json()["items"]
        return [r for r in found if r["need"] == "legal_aid" and r["state"] == "assigned"]

    await eventually(referred, 30, "a referral for what she asked for")


@pytest.mark.long
async def test_a_hundred_thousand_rows_are_read_with_a_flat_memory(
    whole_stack: Stack, http: httpx.Client
) -> None:
    import psutil  # noqa: PLC0415  (needed here only)

    def rows() -> Iterator[bytes]:
        yield b"prs_Gender,vic_TypeOfExploitation,prs_FirstName\n"
        for n in range(100_000):
            yield f"Feminine,ChildLabour,Invented {n}\n".encode()

    state = find_state(Home(whole_stack.home))
    assert state is not None
    process = psutil.Process(whole_stack.pid("intake"))
    send_file(http, whole_stack, "htcds", b"prs_Gender\nFeminine\n", dry_run="true")
    before = process.memory_info().rss
    port = state.ports["intake"]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=900) as near:
        told = send_file(near, whole_stack, "htcds", rows(), dry_run="true")
    assert (told["rows"], told["refused"]) == (100_000, 0)
    assert process.memory_info().rss - before < 60_000_000


async def test_the_example_of_the_documentation_is_a_report(
    whole_stack: Stack, http: httpx.Client, tmp_path: Path
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL)
    granted = whole_stack.pashe("kafka", "grant", "partner", "example-reader")
    (tmp_path / "granted.json").write_text(granted)
    script = example.replace("http://127.0.0.1:8000", whole_stack.origin)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    event_id = done.stdout.strip()

    def look() -> list[Any]:
        return find(http, whole_stack, "example-reader", "cloudevent", event_id)

    (found,) = await eventually(look, 40, "the report of the example")
    assert find(http, whole_stack, "example-reader", "our-cases", "2026-17") == [found]
