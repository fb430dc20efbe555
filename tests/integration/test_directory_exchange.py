"""HSDS 3 taken into a real database whole or not at all, given back, and by the command line."""

from __future__ import annotations

import io
import json
import resource
import time
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import text

from services.referral import offers_store
from services.referral.directory_bodies import OfferIn
from services.referral.exchange.hsds.giving import give
from services.referral.exchange.hsds.reading import read
from services.referral.exchange.hsds.taking import take
from services.referral.listing import list_offer
from shared.clock import now
from shared.errors import Conflict
from shared.outbox import Stamp
from shared.vocabulary import Role
from tests.support.hsds import DOCUMENTS, changed, example, packed, rows_of, uid
from tests.support.office import Office, open_office
from tests.support.stack import StackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(300)

HOME, COUNSEL, LEGAL = (uid(f"service/{n}") for n in ("shelter", "counselling", "legal"))
NATIVE = uid("native")
STAMP = Stamp(now(), "supervisor:test")
Files = dict[str, str | bytes]


@pytest.fixture
async def office(postgres_admin_dsn: str) -> AsyncIterator[Office]:
    async with open_office(postgres_admin_dsn) as made:
        yield made


async def taken(office: Office, files: Files | bytes, **how: Any) -> dict[str, Any]:
    """Take a package and return the last word."""
    file = io.BytesIO(files) if isinstance(files, bytes) else packed(files)
    words = take(office.engine, office.referrals.outbox, file, STAMP, **how)
    return [word async for word in words][-1]


async def given(office: Office, form: str = "package", *, secret: bool = False) -> bytes:
    outbox = office.referrals.outbox
    with await give(office.engine, outbox, form, STAMP, with_confidential=secret) as file:
        return file.read()


async def rows(office: Office, statement: str) -> list[Any]:
    async with office.engine.connect() as conn:
        return list((await conn.execute(text(statement))).all())


async def state(office: Office) -> list[Any]:
    """Return everything that an import may change."""
    tables = ("providers", "offers", "offer_needs", "directory_objects", "outbox")
    return [
        sorted(str(tuple(row)) for row in await rows(office, f"SELECT * FROM {table}"))
        for table in tables
    ]


async def offer(office: Office, offer_id: str) -> dict[str, Any]:
    async with office.engine.connect() as conn:
        return await offers_store.find_offer(conn, offer_id) or {}


async def edit(office: Office, offer_id: str, **fields: Any) -> None:
    """Change an offer as a person does at the desk."""
    old = await offer(office, offer_id)
    old = {name: value for name, value in old.items() if name in OfferIn.model_fields}
    body = OfferIn.model_validate({**old, **fields}).model_dump(mode="json")
    async with office.engine.begin() as conn:
        row = {**body, "offer_id": offer_id}
        await list_offer(conn, office.referrals.outbox, row, STAMP)


async def test_the_example_is_taken_once_and_again_changes_nothing(office: Office) -> None:
    before = await state(office)
    told = await taken(office, example(), dry_run=True)
    assert (told["taken"], told["dry_run"], told["problem_count"]) == (False, True, 0)
    assert told["changes"]["offers"] == {"new": 3, "places told": 1}
    assert await state(office) == before
    told = await taken(office, example())
    assert (told["taken"], told["objects"]) == (
        True,
        sum(told["changes"]["objects"]["new"].values()),
    )
    assert told["changes"]["providers"] == {"new": 2}
    home = await offer(office, HOME)
    assert (home["enrolment"], home["reach"]) == ("listed", "none")
    assert (home["places_free"], home["places_total"]) == (3, 12)
    assert home["capacity_at"].isoformat() == "2026-11-25T04:40:00+00:00"  # as old as it says
    events = [row.type for row in await rows(office, "SELECT type FROM outbox ORDER BY id")]
    assert sorted(events) == ["capacity-changed", *["offer-listed"] * 3]
    after = await state(office)
    told = await taken(office, example())
    assert told["changes"]["offers"] == {"same": 3}
    assert told["changes"]["providers"] == {"same": 2}
    assert told["changes"]["objects"] == {"new": {}, "changed": {}}
    assert await state(office) == after


async def test_one_wrong_row_and_nothing_is_taken(office: Office) -> None:
    before = await state(office)
    for files in (
        changed("services.csv", 4, status="open"),
        changed("attributes.csv", 6, value="perhaps"),
        changed("schedules.csv", 4, service_id=uid("nobody")),
    ):
        told = await taken(office, files)
        assert (told["taken"], told["problem_count"]) == (False, 1)
        assert told["changes"]["offers"] == {}
        assert await state(office) == before
    words = take(office.engine, office.referrals.outbox, packed(example()), STAMP)
    async for word in words:
        if word.get("phase") == "offers":
            break  # the caller went away in the middle
    await words.aclose()
    assert await state(office) == before


async def test_two_imports_at_once(office: Office) -> None:
    words = take(office.engine, office.referrals.outbox, packed(example()), STAMP)
    async for word in words:
        if word.get("phase") == "storing":
            break
    with pytest.raises(Conflict):
        await taken(office, example())
    await words.aclose()
    assert (await taken(office, example()))["taken"]


async def test_a_second_package_tells_what_changes(office: Office) -> None:
    await taken(office, example())
    await edit(office, COUNSEL, enrolment="active", reach="system", min_age=3)
    async with office.engine.begin() as conn:  # active, but not edited: as a profile loads it
        await conn.execute(text("UPDATE offers SET enrolment = 'active' WHERE NOT edited"))
    files = changed("services.csv", 2, minimum_age="8", status="temporarily closed")
    files["service_areas.csv"] = str(files["service_areas.csv"]).replace("BD30260038", "BD3026")
    told = await taken(office, files)
    found = {(o["offer_id"], o["what"]): o["fields"] for o in told["changes"]["offers_told"]}
    assert found == {
        (HOME, "to confirm"): ["min_age", "accepting"],
        (COUNSEL, "left alone"): ["area_level", "area_pcode", "min_age"],
    }
    home = await offer(office, HOME)
    assert (home["min_age"], home["accepting"], home["enrolment"]) == (8, False, "listed")
    assert (await offer(office, COUNSEL))["area_pcode"] == "BD30260038"
    told = await taken(office, files, overwrite=True)
    assert told["changes"]["offers"] == {"same": 2, "to confirm": 1}
    counsel = await offer(office, COUNSEL)
    assert (counsel["area_pcode"], counsel["min_age"]) == ("BD3026", 5)
    assert (counsel["enrolment"], counsel["reach"]) == ("listed", "system")


@pytest.mark.parametrize(
    ("file", "row", "cells", "enrolment"),
    [
        ("services.csv", 2, {"maximum_age": "30"}, "listed"),
        ("service_areas.csv", 2, {"extent": "BD30"}, "listed"),
        ("service_areas.csv", 2, {"extent": "BD3033"}, "listed"),
        ("services.csv", 2, {"status": "inactive"}, "active"),
        ("schedules.csv", 4, {"byday": "SU"}, "active"),
    ],
)
async def test_an_active_offer_that_a_package_moves_or_widens_waits_for_a_person(
    office: Office, file: str, row: int, cells: dict[str, str], enrolment: str
) -> None:
    await taken(office, example())
    async with office.engine.begin() as conn:
        await conn.execute(text("UPDATE offers SET enrolment = 'active'"))
    told = await taken(office, changed(file, row, **cells))
    what = "to confirm" if enrolment == "listed" else "changed"
    assert told["changes"]["offers"] == {what: 1, "same": 2}
    assert (await offer(office, HOME))["enrolment"] == enrolment
    again = await taken(office, changed(file, row, **cells))
    assert again["changes"]["offers"] == {"same": 3}
    events = await rows(office, "SELECT value FROM outbox WHERE type = 'offer-listed' ORDER BY id")
    assert json.loads(events[-1][0])["data"]["enrolment"] == enrolment


async def test_a_package_that_opens_what_a_person_closed_waits_for_a_person(office: Office) -> None:
    await taken(office, example())
    await edit(office, HOME, enrolment="active", reach="system", accepting=False)
    told = await taken(office, example(), overwrite=True)
    assert told["changes"]["offers"] == {"to confirm": 1, "same": 2}
    assert (await offer(office, HOME))["enrolment"] == "listed"


async def test_what_a_service_no_longer_says_is_closed_and_what_is_missing_is_counted(
    office: Office,
) -> None:
    await taken(office, example())
    files = changed("attributes.csv", 11, link_id=LEGAL)  # no need is left of the counselling
    graph, _ = read(packed(files))
    assert not any(
        a["link_id"] == COUNSEL and a["taxonomy_term_id"] == uid("term/psychosocial")
        for a in graph.of("attribute")
    )
    told = await taken(office, files)
    assert [o for o in told["changes"]["offers_told"] if o["what"] == "closed"] == [
        {"offer_id": COUNSEL, "what": "closed", "fields": ["accepting"]}
    ]
    assert (await offer(office, COUNSEL))["accepting"] is False
    rest = {n: t for n, t in example().items() if n in ("organizations.csv", "units.csv")}
    told = await taken(office, rest)
    assert (told["taken"], told["changes"]["absent_services"]) == (True, 3)
    assert await offer(office, LEGAL)


async def test_newer_free_places_count_and_older_ones_do_not(office: Office) -> None:
    await taken(office, example())
    for updated, free, seen in (
        ("2026-11-24T00:00:00Z", "9", 3),
        ("2026-11-26T00:00:00Z", "1", 1),
        ("2031-01-01T00:00:00Z", "5", 5),
    ):
        row = {"updated": updated, "available": free}
        await taken(office, changed("service_capacities.csv", 2, **row))
        assert (await offer(office, HOME))["places_free"] == seen
    assert (await offer(office, HOME))["capacity_at"] == STAMP.at  # never later than it was told


async def test_free_places_of_a_package_grow_old_like_any_others(office: Office) -> None:
    counted = datetime(2026, 11, 25, 4, 40, tzinfo=UTC)
    stamp = Stamp(counted + timedelta(hours=1), "supervisor:test")
    async for _ in take(office.engine, office.referrals.outbox, packed(example()), stamp):
        pass
    office.now = counted
    assert await office.later(timedelta(days=7)) == 0
    assert await office.later(timedelta(seconds=2)) == 1
    [(value,)] = await rows(
        office, "SELECT value FROM outbox WHERE type = 'capacity-changed' ORDER BY id DESC LIMIT 1"
    )
    told = json.loads(value)["data"]
    assert (told["offer_id"], told["stale"], told["places_free"]) == (HOME, True, None)


async def test_the_directory_is_given_back_with_what_never_was_hsds(
    office: Office, postgres_admin_dsn: str
) -> None:
    await office.list_offer(NATIVE, min_age=10, languages=["bn", "rhg"], step_free=True)
    await taken(office, example())
    await taken(office, json.dumps(DOCUMENTS["service, full"]).encode())
    await edit(office, LEGAL, max_age=30, accepting=False)
    whole = await given(office, secret=True)
    graph, report = read(io.BytesIO(whole))
    assert report.told()["problems"] == []
    legal = graph.find("service", LEGAL) or {}
    assert (legal["maximum_age"], legal["status"]) == (30, "temporarily closed")
    kept = {k: v for k, v in rows_of(graph).items() if k != ("service", LEGAL)}
    for files in (example(), json.dumps(DOCUMENTS["service, full"]).encode()):
        source = read(packed(files) if isinstance(files, dict) else io.BytesIO(files))[0]
        for key, raw in rows_of(source).items():
            assert key == ("service", LEGAL) or kept[key] == raw
    as_json, _ = read(io.BytesIO(await given(office, "json", secret=True)))
    assert rows_of(as_json).items() <= rows_of(graph).items()
    told = await taken(office, whole)
    assert told["changes"]["providers"] == {"same": 4, "new": 1}  # a parent that was only named
    assert told["changes"]["offers"] == {"same": 4}
    async with open_office(postgres_admin_dsn) as other:
        told = await taken(other, whole)
        assert told["changes"]["offers"]["new"] == 4
        native = await offer(other, NATIVE)
    assert (native["min_age"], native["languages"]) == (10, ["bn", "rhg"])
    assert (native["step_free"], native["enrolment"]) == (True, "listed")


async def test_where_shelters_are_is_given_with_the_right_only_and_that_is_recorded(
    office: Office,
) -> None:
    await taken(office, example())
    for form in ("json", "package"):
        out = _text(await given(office, form))
        assert "1 Invented Lane" not in out
        assert "8801700000003" not in out
        assert "2 Invented Road" in out
    assert await rows(office, "SELECT 1 FROM outbox WHERE type = 'directory-exported'") == []
    assert "1 Invented Lane" in _text(await given(office, secret=True))
    [(value,)] = await rows(office, "SELECT value FROM outbox WHERE type = 'directory-exported'")
    event = json.loads(value)
    assert (event["actor"], event["data"]["confidential"]) == ("supervisor:test", True)
    cut = await given(office)
    whole = await given(office, secret=True)
    await taken(office, cut)  # what comes back without it does not erase it
    assert rows_of(read(io.BytesIO(await given(office, secret=True)))[0]) == rows_of(
        read(io.BytesIO(whole))[0]
    )


def _text(raw: bytes) -> str:
    if raw[:2] != b"PK":
        return raw.decode()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


async def test_requests_cannot_read_where_shelters_are(office: Office) -> None:
    [(granted,)] = await rows(
        office, "SELECT has_table_privilege('referral_web', 'directory_objects', 'SELECT')"
    )
    assert granted is False


def many(services: int) -> Files:
    """Return a package of five rows a service."""
    org, term = uid("o"), uid("t")
    ids = [(uid(f"s{n}"), uid(f"a{n}"), uid(f"l{n}"), uid(f"at{n}"), uid(f"x{n}")) for n in
           range(services)]  # fmt: skip
    return {
        "organizations.csv": f"id,name,description\n{org},Example,Invented\n",
        "taxonomy_terms.csv": f"id,code,name,description\n{term},education,x,x\n",
        "services.csv": "id,organization_id,name,status\n"
        + "".join(f"{s},{org},Invented class {n},active\n" for n, (s, *_) in enumerate(ids)),
        "service_areas.csv": "id,service_id,extent,extent_type\n"
        + "".join(f"{a},{s},BD3026,text\n" for s, a, *_ in ids),
        "locations.csv": "id,location_type\n" + "".join(f"{i},physical\n" for _, _, i, *_ in ids),
        "service_at_location.csv": "id,service_id,location_id\n"
        + "".join(f"{at},{s},{place}\n" for s, _, place, at, _ in ids),
        "attributes.csv": "id,link_id,link_entity,taxonomy_term_id\n"
        + "".join(f"{x},{s},service,{term}\n" for s, *_, x in ids),
    }


async def load_many(office: Office, services: int) -> None:
    file = packed(many(services))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for what in ("new", "same"):
        begun, cpu = time.monotonic(), time.process_time()
        file.seek(0)
        words = [w async for w in take(office.engine, office.referrals.outbox, file, STAMP)]
        took, cpu = time.monotonic() - begun, time.process_time() - cpu
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        rows_told = words[-1]["objects"]
        print(f"{what}: {rows_told} rows in {took:.1f} s ({cpu:.1f} s of CPU), {grown:.0f} MB more")
        assert words[-1]["changes"]["offers"] == {what: services}
        assert {w["phase"] for w in words[:-1]} >= {"storing", "offers"}
        assert grown < 60 + rows_told / 300
    begun = time.monotonic()
    out = await given(office)
    print(f"given back: {len(out)} bytes in {time.monotonic() - begun:.1f} s")
    assert len(read(io.BytesIO(out))[0]) == 5 * services + 2


async def test_many_rows_take_bounded_time_and_memory_and_progress_is_told(office: Office) -> None:
    await load_many(office, 1_000)


# --- By the command line and HTTP -----------------------------------------------------------------


@pytest.mark.slow
def test_the_command_takes_a_folder_says_what_is_wrong_and_gives_it_back(
    whole_stack: Stack, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    for name, content in _elsewhere(example()).items():
        (folder / name).write_text(str(content), "utf-8")
    told = json.loads(whole_stack.pashe("directory", "import", str(folder), "--json"))
    assert (told["taken"], told["problem_count"]) == (True, 0)
    said = whole_stack.pashe("directory", "import", str(folder), "--dry-run")
    assert "A dry run: nothing was kept." in said
    assert "offers: 3 same" in said
    out = tmp_path / "out.json"
    whole_stack.pashe("directory", "export", str(out))
    assert "Example legal advice" in out.read_text("utf-8")
    assert "1 Invented Lane" not in out.read_text("utf-8")
    whole_stack.pashe("directory", "export", str(tmp_path / "out"), "--with-confidential")
    assert "1 Invented Lane" in (tmp_path / "out" / "addresses.csv").read_text("utf-8")
    services = folder / "services.csv"
    services.write_text(services.read_text("utf-8").replace("active", "open", 1), "utf-8")
    with pytest.raises(StackError, match=r"services\.csv row 2 .*status") as failed:
        whole_stack.pashe("directory", "import", str(folder))
    assert "Nothing was taken." in str(failed.value)


def _elsewhere(files: Files) -> Files:
    """Return the example in a place and with needs that no other test asks for."""
    areas = str(files["service_areas.csv"]).replace("BD3026,", "BD1004,")
    terms = str(files["taxonomy_terms.csv"])
    for need in ("psychosocial", "legal_aid", "court_support"):
        terms = terms.replace(f",{need},", ",interpreter,", 1)
    return {
        **files,
        "service_areas.csv": areas.replace("BD30260038", "BD1004"),
        "taxonomy_terms.csv": terms,
        "addresses.csv": str(files["addresses.csv"]).replace(",Jashore,Jashore", ",Amtali,Barguna"),
    }


def test_the_interface_refuses_whole_packages_and_who_may_not(whole_stack: Stack) -> None:
    def bearer(role: Role) -> dict[str, str]:
        return whole_stack.bearer(role)

    with httpx.Client(base_url=whole_stack.url("referral"), timeout=60) as http:
        path = "/referral/v1/directory/"
        bad = packed(changed("services.csv", 2, status="open")).getvalue()
        answer = http.post(path + "import", content=bad, headers=bearer(Role.OPERATIONS))
        assert answer.status_code == 422
        [problem] = answer.json()["problems"]
        assert (problem["file"], problem["row"], problem["field"]) == ("services.csv", 2, "status")
        assert problem["expected"].startswith("One of: active")
        for body in (b"", b"PK", b"nonsense"):
            answer = http.post(path + "import", content=body, headers=bearer(Role.SUPERVISOR))
            assert (answer.status_code, answer.json()["taken"]) == (422, False)
        for role, status in ((Role.COORDINATOR, 403), (Role.OPERATIONS, 403), (Role.AUDITOR, 403)):
            answer = http.get(path + "export?confidential=true", headers=bearer(role))
            assert answer.status_code == status
        answer = http.get(path + "export?form=package", headers=bearer(Role.AUDITOR))
        assert (answer.status_code, answer.content[:2]) == (200, b"PK")
