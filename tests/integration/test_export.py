"""`pashe export` on the whole stack: what it writes is what `/figures` shows, and a dataset is two
persons'.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import openpyxl
import pytest

from services.audit.figures import following
from services.audit.figures.following import Figures
from services.audit.figures.store import Line
from services.audit.figures.tables import NAMES
from shared.clock import now
from shared.database import make_engine
from shared.signing import Signer
from tests.support.stack import StackError
from tests.support.told import Teller, many_cases

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

QUARTER, YEAR, LAST_YEAR = "2026-Q3", "2026", "2025"

Rows = list[list[str]]


async def fill(url: str, signer: Signer) -> None:
    """Put persons of two years that are over behind the history, where only figures read.

    As events they would be work for every rule.
    """
    teller = Teller(signer)
    told = many_cases(teller, 300, 11)
    teller.at = datetime(2025, 5, 1, tzinfo=UTC)
    told += many_cases(teller, 160, 12)
    lines = []
    for number, one in enumerate(told):
        kind = (dict(one.headers)["type"] or b"").decode()
        lines.append(Line(number, kind, (one.key or b"").decode(), one.stream, one.value))
    engine = make_engine(url, size=2, name="figures of a test")
    try:
        async with engine.begin() as conn:
            await following.take_in(conn, lines)
        await Figures(engine).publish(now())
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
def stack(whole_stack: Stack) -> Stack:
    """The stack with a quarter that is published, and a year that a dataset can be made of."""
    seed = (whole_stack.home / "keys" / "intake" / "signing.key").read_text("ascii")
    url = whole_stack.environment("audit")["DATABASE_URL"]
    asyncio.run(fill(url, Signer(bytes.fromhex(seed.strip()))))
    return whole_stack


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"{stack.origin}{path}", timeout=30).raise_for_status()


def csv_of(text: str) -> Rows:
    return list(csv.reader(io.StringIO(text)))


def xlsx_of(file: Path) -> dict[str, Rows]:
    book = openpyxl.load_workbook(file)
    return {
        sheet.title: [[str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        for sheet in book
    }


def release_as_rows(release: dict[str, Any], table: str) -> Rows:
    found = release["tables"][table]
    return [
        [QUARTER, group, *("<5" if n is None else str(n) for n in cells)]
        for group, cells in zip(found["groups"], found["rows"], strict=True)
    ]


def test_what_is_written_is_what_the_figures_show(stack: Stack, tmp_path: Path) -> None:
    quarters = [each["quarter"] for each in get(stack, "/audit/v1/figures").json()["items"]]
    assert stack.pashe("export", "statistics", "list").split() == quarters
    assert QUARTER in quarters
    shown = get(stack, f"/audit/v1/figures/{QUARTER}").json()
    assert shown["tables"]["funnel"]["rows"][0][0] == 300
    assert any(n is None for row in shown["tables"]["district"]["rows"] for n in row)
    book, told = tmp_path / "figures.xlsx", tmp_path / "figures.json"
    assert str(book) in stack.pashe("export", "statistics", QUARTER, str(book))
    stack.pashe("export", "statistics", QUARTER, str(told))
    assert json.loads(told.read_text("utf-8")) == shown
    sheets = xlsx_of(book)
    assert list(sheets) == list(NAMES)
    for table in NAMES:
        assert sheets[table][1:] == release_as_rows(shown, table), table
    for table in ("district", "sex"):
        file = tmp_path / f"{table}.csv"
        stack.pashe("export", "statistics", QUARTER, str(file), "--table", table)
        assert csv_of(file.read_text("utf-8")) == sheets[table]
    page = get(stack, f"/figures/{QUARTER}?lang=en").text
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page.replace("&lt;", "\0"))
    for row in sheets["sex"][1:]:
        numbers = [one.replace("<", "\0") for one in row[2:]]
        assert any(cells[at : at + len(numbers)] == numbers for at in range(len(cells))), row


def test_a_year_is_written_as_its_quarters_and_their_sums(stack: Stack, tmp_path: Path) -> None:
    book = tmp_path / "year.xlsx"
    stack.pashe("export", "statistics", YEAR, str(book))
    rows = xlsx_of(book)["funnel"]
    assert [row[:3] for row in rows if row[0] == QUARTER] == [[QUARTER, "all", "300"]]
    assert rows[-1][:2] == [YEAR, "all"]
    assert rows[-1][2].startswith("at least ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((QUARTER, "FILE.csv"), "--table"),
        ((QUARTER, "FILE.txt"), "ends with"),
        ((QUARTER, "NO/FOLDER.xlsx"), "cannot be written"),
        (("2026-07", "FILE.xlsx"), "subtracted"),
        (("2024-Q1", "FILE.xlsx"), "list"),
        ((QUARTER, "FILE.csv", "--table", "upazila"), "no such table"),
    ],
)
def test_what_is_not_published_or_cannot_be_written_leaves_no_file(
    stack: Stack, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    quarter, file, *more = words
    with pytest.raises(StackError) as refused:
        stack.pashe("export", "statistics", quarter, str(tmp_path / file), *more)
    told = " ".join(str(refused.value).split())
    assert why in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_a_dataset_is_written_once_another_person_agreed(stack: Stack, tmp_path: Path) -> None:
    def sign(name: str) -> list[str]:
        file = tmp_path / f"{name}.token"
        file.write_text(stack.pashe("token", "supervisor"))
        return ["--token-file", str(file)]

    one, other = sign("one"), sign("other")
    with pytest.raises(StackError, match="Asked for") as asked:
        stack.pashe("export", "ask", LAST_YEAR, "--purpose", "research", *one)
    found = re.search("pashe export approve ([0-9a-f-]{36})", str(asked.value))
    assert found is not None
    file = tmp_path / "dataset.csv"
    with pytest.raises(StackError, match="another person must approve"):
        stack.pashe("export", "htcds", found[1], str(file), *one)
    with pytest.raises(StackError, match="another person must approve"):
        stack.pashe("export", "approve", found[1], *one)
    assert not file.exists()
    stack.pashe("export", "approve", found[1], *other)
    told = stack.pashe("export", "htcds", found[1], str(file), *one)
    rows = csv_of(file.read_text("utf-8"))
    assert rows[0] == ["prs_Gender", "vic_TraffickingStatus", "vic_TypeOfExploitation"]
    assert f"{len(rows) - 1} persons" in told
    stack.pashe("export", "ctdc", found[1], str(file), *one)
    assert len(csv_of(file.read_text("utf-8"))) == len(rows)
    with pytest.raises(StackError, match="who are you"):
        stack.pashe("export", "ctdc", found[1], str(file))
