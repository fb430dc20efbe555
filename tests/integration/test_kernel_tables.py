"""The kernel's tables: partitions never drop what is unsent, and roles own nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from shared.database import check_role, make_engine
from shared.errors import SettingsError

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
