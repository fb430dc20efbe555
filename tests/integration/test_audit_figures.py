"""Figures follow the history: once, in any batches, without tests, and without who was erased."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from pyarrow import parquet

from services.audit.figures import following
from services.audit.figures.following import Figures, Releases
from shared.access import make_token
from shared.errors import NotFound
from shared.vocabulary import Role
from tests.bench.history_log import our_log
from tests.support.told import GIVEN, PAST, WAY, Teller, many_cases, sign_for_referral

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bench.history_log import OurLog

QUARTER = date(2026, 7, 1)


@dataclass(slots=True)
class Counting:
    """A log, and the figures that follow it."""

    log: OurLog
    tell: Teller
    figures: Figures

    async def follow(self) -> None:
        while await self.figures.follow():
            pass

    async def kept(self) -> list[tuple[str, object, str]]:
        """Everything of the projection."""
        conn = await asyncpg.connect(
            self.log.database.admin, server_settings={"search_path": "audit"}
        )
        try:
            rows = await conn.fetch("SELECT case_id, quarter, body::text FROM figure_persons")
            gone = await conn.fetch("SELECT case_id, NULL, 'erased' FROM figure_erased")
        finally:
            await conn.close()
        return sorted((tuple(row) for row in (*rows, *gone)), key=str)


@pytest_asyncio.fixture
async def counting(
    postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Counting]:
    async with our_log(postgres_admin_dsn, tmp_path_factory.mktemp("figures")) as log:
        tell = sign_for_referral(log)
        await log.begin()
        yield Counting(log, tell, Figures(log.flow))


async def test_the_projection_read_anew_equals_the_live_one(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "BATCH", 37)
    told = many_cases(counting.tell, 60, 1)
    erased, late = told[0].key or b"", told[40].key or b""
    for start in range(0, len(told), 50):
        await counting.log.append(told[start : start + 50], 50)
        await counting.figures.follow()  # sometimes in the middle of a case
    await counting.follow()
    end = counting.tell.change(erased.decode(), "case-erased")
    after = counting.tell.help(erased.decode(), "shelter", *WAY)
    await counting.log.append([end, *after, counting.tell.change(late.decode(), "case-erased")], 9)
    await counting.follow()
    live = await counting.kept()
    assert len(live) == 60
    assert [row[0] for row in live if row[2] == "erased"] == sorted(
        (erased.decode(), late.decode())
    )
    await counting.log.ledger.erase()  # their bytes are gone when the history is read again
    await counting.figures.rebuild()
    assert not await counting.kept()
    await counting.follow()
    assert await counting.kept() == live
    await counting.figures.follow()
    assert await counting.kept() == live


async def test_what_is_counted_once_it_is_over_and_never_again(counting: Counting) -> None:
    told = many_cases(counting.tell, 120, 2)
    real, test, wrong = (str(uuid4()) for _ in range(3))
    told += counting.tell.case(real, district="BD3026", sex="female")
    told += counting.tell.help(real, "shelter", *GIVEN)
    told += counting.tell.case(test, district="BD3026", sex="hijra", test=True)
    told += counting.tell.help(test, "rescue", *GIVEN, test=True)
    told += counting.tell.case(wrong, district="BD3026", sex="hijra")
    told.append(counting.tell.change(wrong, "case-closed", reason="duplicate", status="closed"))
    forged = counting.tell.case(str(uuid4()), district="BD3026")
    await counting.log.append(told, 200)
    await counting.log.ledger.append(
        "bench",
        [type(one)(one.stream, 0, 9000 + n, one.key, one.value) for n, one in enumerate(forged)],
    )
    await counting.follow()
    counted = await counting.figures.count_quarter(QUARTER)
    cells = {tuple(cell): n for cell, n in counted.cells.items()}
    assert cells["cases", "all", ""] == 121, "neither tests, mistakes nor what nobody signed"
    assert ("planned", "need", "rescue") not in cells or cells["planned", "need", "rescue"] < 60
    soon = datetime(2026, 10, 2, tzinfo=UTC)
    releases = Releases(counting.log.web)
    assert await counting.figures.publish(soon) == [], "what comes late is waited for"
    with pytest.raises(NotFound):
        await releases.release("2026-Q3")
    assert await counting.figures.publish(soon + timedelta(days=20)) == [QUARTER]
    published = await releases.release("2026-Q3")
    assert published["tables"]["funnel"]["rows"][0][0] == 121
    assert all(
        n is None or n >= 5
        for table in published["tables"].values()
        for row in table["rows"]
        for n in row
    )
    counting.tell.at = PAST
    await counting.log.append(many_cases(counting.tell, 9, 3), 200)
    await counting.log.append([counting.tell.change(real, "case-erased")], 1)
    await counting.follow()
    assert await counting.figures.publish(soon + timedelta(days=30)) == []
    assert await releases.release("2026-Q3") == published, "a second count would show who changed"


async def test_a_dataset_takes_two_persons(counting: Counting) -> None:
    counting.tell.at = datetime(2025, 5, 1, tzinfo=UTC)
    await counting.log.append(many_cases(counting.tell, 150, 4), 2000)
    await counting.follow()
    seed = (counting.log.folder / "keys" / "pashe" / "tokens.key").read_text("ascii")

    def signed(role: Role, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {make_token(bytes.fromhex(seed), role, subject=name)}"}

    one, other = signed(Role.SUPERVISOR, "one"), signed(Role.SUPERVISOR, "other")
    auditor = signed(Role.AUDITOR, "auditor")
    async with (
        counting.log.serve() as server,
        httpx.AsyncClient(base_url=f"{server.url}/audit/v1", timeout=30) as http,
    ):
        wish = {"year": 2025, "purpose": "research"}
        grows = await http.post("/datasets", json={**wish, "year": 2026}, headers=one)
        assert grows.status_code == 409
        assert grows.json()["type"].endswith(":no-dataset")
        asked = await http.post("/datasets", json=wish, headers=one)
        assert asked.status_code == 202
        path = f"/datasets/{asked.json()['id']}"
        assert (await http.get(path, headers=one)).status_code == 409
        assert (await http.post(f"{path}/approve", headers=one)).status_code == 403
        assert (await http.post(f"{path}/approve", headers=auditor)).status_code == 403
        assert (await http.post(f"{path}/approve", headers=other)).status_code == 200
        assert (await http.post(f"{path}/approve", headers=other)).status_code == 409
        report = (await http.get(f"{path}?shape=report", headers=auditor)).json()
        lines = (await http.get(path, headers=one)).text.splitlines()
        assert len(lines) == report["persons"] + 1
        assert report["k"] >= 11
        assert min(Counter(lines[1:]).values()) >= 11
        htcds = (await http.get(f"{path}?shape=htcds", headers=one)).text
        assert htcds.startswith("prs_Gender,vic_TraffickingStatus,vic_TypeOfExploitation\r\n")
        packed = await http.get(f"{path}?shape=htcds&form=parquet", headers=one)
        table = parquet.read_table(io.BytesIO(packed.content))
        assert "pashe-htcds-2025.parquet" in packed.headers["content-disposition"]
        rows = list(csv.reader(io.StringIO(htcds, newline="")))
        assert [
            table.column_names,
            *map(list, zip(*table.to_pydict().values(), strict=True)),
        ] == rows
        again = await http.post("/datasets", json=wish, headers=one)
        await http.post(f"/datasets/{again.json()['id']}/approve", headers=other)
        second = await http.get(f"/datasets/{again.json()['id']}", headers=one)
        assert second.text.splitlines() == lines
    conn = await asyncpg.connect(
        counting.log.database.admin, server_settings={"search_path": "audit"}
    )
    try:
        told = await conn.fetchval("SELECT count(*) FROM outbox WHERE type = 'history-read'")
    finally:
        await conn.close()
    assert told >= 7, "asking, approving and each reading are in the history"
