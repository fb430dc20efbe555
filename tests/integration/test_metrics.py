"""What a running stack exports: every declared metric, no other, and no more for more cases."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shared.metrics import EVERY, TABLE
from shared.vocabulary import Role
from tests.support.callers import report
from tests.support.stack import SERVICES, Stack
from tests.support.wait import eventually

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

pytestmark = pytest.mark.timeout(600)

OF_PEOPLE = ("pashe_submissions", "pashe_referral", "pashe_report", "pashe_notices", "pashe_desk")
LATER = {"pashe_retention_due"}
"""Read once a day: after a restart it may not be there yet."""


async def scrape(http: httpx.AsyncClient, stack: Stack, service: str) -> dict[str, Metric]:
    answer = await http.get(f"{stack.url(service)}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = list(text_string_to_metric_families(answer.text))  # type: ignore[no-untyped-call]
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def series(found: dict[str, Metric]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in found.values()
        for sample in family.samples
    }


async def send(http: httpx.AsyncClient, stack: Stack, count: int) -> list[str]:
    """Send so many like reports, a few at a time; return their cases."""
    room = asyncio.Semaphore(8)
    body = report(needs=["education"])
    url = f"{stack.url('intake')}/intake/v1/reports"

    async def one() -> str:
        headers = stack.bearer(Role.PARTNER, "partner-x") | {"idempotency-key": str(uuid4())}
        async with room:
            for _ in range(5):
                with contextlib.suppress(httpx.TransportError):  # the same key: it comes to one
                    answer = await http.post(url, json=body, headers=headers)
                    assert answer.status_code in {200, 201}, answer.text
                    return str(answer.json()["case_ids"][0])
        raise AssertionError("intake does not answer")

    return await asyncio.gather(*(one() for _ in range(count)))


async def audited(http: httpx.AsyncClient, stack: Stack, at_least: float) -> None:
    """Wait until the referral of each case is made and everything is in the history."""

    async def look() -> bool:
        decided = await scrape(http, stack, "referral")
        made = sum(
            sample.value
            for sample in decided["pashe_referral_transitions"].samples
            if sample.labels["state"] in {"assigned", "planned", "waiting"}
        )
        lag = sum(sample.value for sample in decided["pashe_consumer_lag_records"].samples)
        return made >= at_least and lag == 0

    await eventually(look, 240, "a referral of each case", every=1.0)


async def test_every_declared_metric_is_exported_and_no_other(whole_stack: Stack) -> None:
    async with httpx.AsyncClient(timeout=20) as http:
        for service in SERVICES:

            async def read(service: str = service) -> dict[str, Metric]:
                found = await scrape(http, whole_stack, service)
                ages = {s.labels["reading"] for s in found["pashe_reading_age_seconds"].samples}
                for declared in TABLE.values():
                    if declared.owner not in (service, EVERY) or declared.name in LATER:
                        continue
                    closed = all(isinstance(values, tuple) for values in declared.labels.values())
                    if closed and (declared.reading is None or declared.reading in ages):
                        assert found[declared.name].samples, declared.name
                return found

            found = await eventually(read, 60, "every reading")
            wanted = {one.name for one in TABLE.values() if one.owner in (service, EVERY)}
            assert set(found) == wanted
            for family in found.values():
                declared = TABLE[family.name]
                assert (family.type, family.unit or "") == (declared.kind, declared.unit)
                for sample in family.samples:
                    check_labels(declared.labels, sample.labels)


def check_labels(declared: Any, told: dict[str, str]) -> None:
    own = {name: value for name, value in told.items() if name != "le"}
    if set(own) == {"service", "version", "python"}:
        return  # what a build is
    assert set(own) == set(declared)
    for name, value in own.items():
        if isinstance(declared[name], tuple):
            assert value in declared[name], (name, value)
        assert len(value) < 60


async def more_cases(stack: Stack, before: int, more: int) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        await audited(http, stack, len(await send(http, stack, before)))
        for name in SERVICES:
            await scrape(http, stack, name)  # the first scrape is a request that nobody made before
        first = {name: series(await scrape(http, stack, name)) for name in SERVICES}
        begun = await scrape(http, stack, "referral")
        made = sum(
            s.value
            for s in begun["pashe_referral_transitions"].samples
            if s.labels["state"] == "planned"
        )
        await send(http, stack, more)
        await audited(http, stack, made + more)
        for name in SERVICES:
            last = series(await scrape(http, stack, name))
            new = last - first[name]
            print(f"{name}: {len(first[name])} series, {len(last)} after {more} cases more")
            assert not [one for one in new if one[0].startswith(OF_PEOPLE)], new
            assert len(new) <= 12, new  # a route, a type of event, of which nobody sent one before


@pytest.mark.slow
async def test_more_cases_make_no_more_series(whole_stack: Stack) -> None:
    await more_cases(whole_stack, 10, 150)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_ten_thousand_cases_make_no_more_series(whole_stack: Stack) -> None:
    await more_cases(whole_stack, 10, 10_000)


async def test_a_scrape_is_answered_while_the_database_hangs(whole_stack: Stack) -> None:
    """It asks nobody: figures are those read last, and their age grows."""
    conn = await whole_stack.connect("intake")
    try:
        async with httpx.AsyncClient(timeout=5) as http, conn.transaction():
            await conn.execute("LOCK TABLE duty IN ACCESS EXCLUSIVE MODE")

            async def old() -> bool:
                found = await scrape(http, whole_stack, "intake")
                (age,) = (
                    sample.value
                    for sample in found["pashe_reading_age_seconds"].samples
                    if sample.labels["reading"] == "desk"
                )
                assert found["pashe_t0_unseen_seconds"].samples
                return age > 8

            await eventually(old, 40, "an old reading", every=1.0)
    finally:
        await conn.close()
