"""The arithmetic of the benches, and the table that shows it."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from uuid import UUID

import msgspec
import pytest
from rich.console import Console

from deploy.local import bench
from deploy.local.errors import StackError
from services.intake.report import ReportIn
from services.referral.rules import load_rules
from services.referral.world import referral_id_of
from tests.bench import figures, isolation, machine, reports, site, telling, wire
from tests.bench.figures import Figure


def figure(**more: Any) -> Figure:
    return Figure(**{"bench": "x", "what": "it", "unit": "a second", "ours": 8.0, **more})


def test_the_ratio_is_the_median_of_the_rounds_not_of_the_sums() -> None:
    assert figures.ratio_of([10, 30, 40], [10, 10, 10]) == (3, 1, 4)


def test_rounds_of_unlike_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        figures.ratio_of([1, 2], [1])


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 51), (0.99, 100), (1, 100)])
def test_percentiles(share: float, value: int) -> None:
    assert figures.percentile(list(range(100, 0, -1)), share) == value


def test_a_floor_is_reached_from_above_or_below() -> None:
    assert figure(floor=8).reaches(8)
    assert not figure(floor=9).reaches(9)
    assert figure(least=False).reaches(8)
    assert not figure(least=False).reaches(7)
    assert figure().reaches(None) is None


def test_a_ratio_is_what_the_floor_is_compared_with() -> None:
    assert figure(ratio=(2.0, 1.0, 3.0)).value == 2


def test_the_table_shows_every_figure_and_whether_it_meets_its_floor() -> None:
    told: list[dict[str, Any]] = []
    tell = telling.Told("x", told.append)
    tell.figure(figure(what="slow", floor=9, cpu={"app": 10.4, "client": 3}))
    tell.figure(
        figure(
            what="fast",
            peer=2.0,
            peer_is="naive",
            ratio=(4.0, 3.5, 4.25),
            floor=4,
            cpu={"app": 1},
            peer_cpu={"app": 7},
            notes=["said once"],
        )
    )
    shown = io.StringIO()
    before, bench.console = bench.console, Console(file=shown, width=160)
    try:
        bench.show(
            {
                "machine": machine.describe(),
                "quick": True,
                "figures": [event["figure"] for event in told],
            }
        )
    finally:
        bench.console = before
    text = shown.getvalue()
    for words in ("slow", "no", "app 10", "fast", "4.00 [3.50–4.25]", "app 1 : 7", "yes", "≥ 4"):
        assert words in text, text
    assert "client" not in text
    assert text.count("said once") == 1


def test_a_bench_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(StackError) as caught:
        bench.run_benches(["speed"], quick=True, file=None)
    assert "there is no bench speed: intake, consumer" in "".join(caught.value.tail)


def test_the_machine_is_described() -> None:
    found = machine.describe()
    assert found["cores"] >= 1
    assert found["kafka"][0].isdigit()
    assert found["postgresql"][0].isdigit()


@pytest.mark.parametrize("kind", ["told", "released"])
def test_the_bodies_of_the_benches_are_valid_reports(kind: str) -> None:
    made = reports.bodies(kind, 1, 20, 8)
    assert len(set(made)) > 10
    for body in made:
        ReportIn.model_validate(msgspec.json.decode(body))


def test_both_needs_are_released_by_their_rule_in_every_place() -> None:
    assert len(set(reports.places(32))) == 32
    assert {reports.NEED, reports.OTHER} <= load_rules().keys()


def test_the_rule_of_one_need_is_left_to_a_process_of_its_own() -> None:
    named = isolation.rules_beside()["REFERRAL_RULES"].split(",")
    assert reports.NEED not in named
    assert {reports.OTHER, "cases"} <= set(named)


def test_a_referral_is_known_by_its_case_and_need() -> None:
    case_id = msgspec.convert("018f0000-0000-7000-8000-000000000001", type=UUID)
    assert site.referral_of(str(case_id), "legal_aid") == str(
        referral_id_of(case_id, "legal_aid", 1)
    )


async def test_the_client_reads_answers_in_any_pieces() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in (201, 503):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            whole = b"HTTP/1.1 %d Said\r\nContent-Length: 4\r\n\r\nbody" % status
            for byte in whole:
                writer.write(bytes([byte]))
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = await wire.Wire.open(f"http://127.0.0.1:{port}")
        rendered = wire.post("/", {}, b"{}")
        assert await client.send(rendered) == wire.Answer(201, b"body")
        assert await client.send(rendered) == wire.Answer(503, b"body")
        with pytest.raises(wire.WireError):
            await client.send(rendered)
        client.close()
