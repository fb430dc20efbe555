"""The kernel's tables: partitions never drop what is unsent, and roles own nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import text

from shared.database import check_role, make_engine
from shared.errors import SettingsError
from shared.runtime import FIGURES

if TYPE_CHECKING:
    from tests.support.lab import Lab


async def children(lab: Lab, parent: str) -> set[str]:
    rows = await lab.fetch(
        "SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid"
        " WHERE h.inhparent = to_regclass($1)",
        parent,
    )
    return {row[0] for row in rows}


async def test_partitions_are_made_ahead_and_dropped_when_old_but_never_with_unsent_rows(
    lab: Lab,
) -> None:
    owner = make_engine(lab.url("owner"), size=1, name="lab owner")
    async with owner.begin() as conn:
        for day, sent in (("20200101", "now()"), ("20200102", "NULL")):
            await conn.execute(
                text(
                    f"CREATE TABLE outbox_{day} PARTITION OF outbox FOR VALUES"
                    f" FROM ('{day}') TO (date '{day}' + 1)"
                )
            )
            await conn.execute(
                text(
                    "INSERT INTO outbox (created_at, topic, partition, key, event_id, type,"
                    f" sequence, value, signature, sent_at) VALUES ('{day} 12:00+0', 't', 0, '',"
                    f" gen_random_uuid(), 't', 1, '', '', {sent})"
                )
            )
        await conn.execute(
            text(
                "CREATE TABLE inbox_20200101 PARTITION OF inbox FOR VALUES"
                " FROM ('20200101') TO ('20200102')"
            )
        )
    await owner.dispose()
    async with lab.engine.begin() as conn:  # as the flow role, which owns nothing
        await conn.execute(text("SELECT keep_partitions(107, 114)"))
        await conn.execute(text("SELECT keep_partitions(107, 114)"))
    outbox, inbox = await children(lab, "outbox"), await children(lab, "inbox")
    assert "outbox_20200101" not in outbox
    assert "outbox_20200102" in outbox
    assert "inbox_20200101" not in inbox
    assert len(outbox) == 5, "rest, today and two days ahead, and the unsent one"
    assert len(inbox) == 4


async def test_a_role_that_owns_tables_or_is_superuser_is_refused(lab: Lab) -> None:
    await check_role(lab.engine, lab.schema)
    for url in (lab.url("owner"), lab.admin):
        engine = make_engine(url, size=1, name="too strong")
        with pytest.raises(SettingsError, match="neither superuser"):
            await check_role(engine, lab.schema)
        await engine.dispose()


_DAYS = """
DO $$ BEGIN FOR i IN 1..107 LOOP
  EXECUTE format('CREATE TABLE outbox_%s PARTITION OF outbox FOR VALUES FROM (%L) TO (%L)',
    to_char(current_date - i, 'YYYYMMDD'), current_date - i, current_date - i + 1);
END LOOP; END $$
"""
_FILL = """
INSERT INTO outbox (created_at, topic, partition, key, event_id, type, sequence, value, signature)
SELECT current_date - n % $1 - interval '1 hour', 'cases', n % 12, '', gen_random_uuid(), 't', n,
  decode(repeat('ab', 300), 'hex'), '' FROM generate_series(1, $2::int) n
"""


async def reading(conn: asyncpg.Connection[Any]) -> tuple[float, int]:
    """Return seconds and blocks that one reading of the figures takes, the lesser of five."""
    seconds, blocks = [], []
    for _ in range(5):
        began = time.perf_counter()
        await conn.fetch(FIGURES)
        seconds.append(time.perf_counter() - began)
        told = json.loads(
            await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {FIGURES}")
        )[0]["Plan"]
        blocks.append(told["Shared Hit Blocks"] + told["Shared Read Blocks"])
    return min(seconds), min(blocks)


@pytest.mark.slow
async def test_reading_outbox_and_parked_costs_no_more_with_a_long_past_and_little_with_an_outage(
    lab: Lab,
) -> None:
    conn = await asyncpg.connect(lab.url("owner"), command_timeout=300)
    try:
        await conn.execute(_DAYS)
        empty = await reading(conn)
        await conn.execute(_FILL, 107, 107_000)
        await conn.execute("UPDATE outbox SET sent_at = now()")
        await conn.execute("VACUUM ANALYZE outbox")
        long_past = await reading(conn)
        await conn.execute(_FILL, 1, 50_000)
        outage = await reading(conn)
    finally:
        await conn.close()
    for name, (seconds, blocks) in {
        "107 empty days": empty,
        "107,000 sent": long_past,
        "50,000 unsent": outage,
    }.items():
        print(f"{name}: {seconds * 1e3:.1f} ms, {blocks} blocks")
    assert long_past[1] < empty[1] + 1000
    assert outage[0] < 1, "five seconds are what it may take at most (LOOK)"
