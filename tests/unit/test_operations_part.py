"""What operations see of a service: in Bangla too, and of use when Kafka or a database is away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient

from shared.operations.figures import Block, Figure, Row
from shared.operations.names import PARKED
from shared.operations.part import HERE, Stored, Stream
from shared.pages.pages import Pages
from shared.parked import Parked

if TYPE_CHECKING:
    from starlette.responses import Response

AT = datetime(2026, 11, 29, tzinfo=UTC)


async def shown(**values: Any) -> str:
    app, pages = FastAPI(), Pages("lab", HERE)

    async def page(request: Request) -> Response:
        known: dict[str, Any] = {
            "service": "lab",
            "streams": [],
            "keeps": True,
            "parked_names": PARKED,
            "at": AT,
            "report": {},
        }
        return pages.show(request, "part.html", **(known | values))

    app.router.add_route("/", page)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as http:
        return (await http.get("/?lang=en&part=1")).text


async def test_a_part_without_its_database_says_so_and_shows_the_rest() -> None:
    text = await shown(
        report={"ready": False, "kafka": True},
        stored=None,
        streams=[Stream("lab.one", 7, held=True), Stream("lab.two", None, held=False)],
    )
    assert "The database did not answer in time" in text
    assert "Streams: 2 readers · 7 behind · 1 held" in text
    assert "not known yet" in text


@pytest.mark.parametrize(("keeps", "buttons"), [(True, 2), (False, 0)])
async def test_while_kafka_is_away_what_waits_is_told_and_who_only_reads_has_no_button(
    *, keeps: bool, buttons: int
) -> None:
    parked = Parked(3, "lab.one", "cases", 1, 9, "0" * 36, "bug", "KeyError", "waiting", AT)
    block = Block(
        "Reports",
        (Figure("Late answers", 2, care=True, since=AT),),
        ("Need", "How many"),
        (Row((("need", "shelter"),), 2, AT),),
    )
    text = await shown(
        report={"ready": True, "kafka": False},
        stored=Stored(12, AT, [parked], [block]),
        level="h2",
        keeps=keeps,
    )
    assert "Kafka is away: events wait, nothing is lost" in text
    assert "12 events wait for Kafka" in text
    assert "A safe place to stay" in text
    assert text.count("<button") == buttons
