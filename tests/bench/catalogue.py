"""Which tables of the services grow with cases, read from PostgreSQL's catalogue.

A table grows if a column of it names a case, or what belongs to one, or if it refers to a table
that does. Whatever else there is must be known: in `STILL`, in `HEADS`, or a table of the kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

SCHEMAS: Final = ("intake", "referral", "notification")

IDS: Final = ("case_id", "submission_id", "referral_id", "report_id", "subject_id")
"""Names of what a case is made of: columns, and first names in JSON."""

POSITIONS: Final = {("referral", "feed_entries"): "seq"}
"""Columns beside `feed_seq` that are a place in a provider's feed."""

HEADS: Final = {("referral", "feeds"), ("notification", "feed_heads")}
"""Tables of how far a feed is: a row a provider, moved on."""

ORDERS: Final = ("outbox_heads", "inbox_heads")
"""Tables of the kernel that are never emptied: how far a stream is with each case."""

STILL: Final[Mapping[str, frozenset[str]]] = {
    "intake": frozenset(
        {
            *("alembic_version", "key_fingerprints", "provider_numbers", "duty", "ties", "limits"),
            *("sign_ins", "staff_sessions", "form_logins", "committee_phones", "learners"),
            *("trainings", "provider_teams", "awareness_sessions", "awareness_subscribers"),
            *("awareness_asked", "awareness_messages", "awareness_sendings"),
            "talk_sessions",  # a row is gone a day later
        }
    ),
    "referral": frozenset(
        {"alembic_version", "providers", "offers", "offer_needs", "directory_objects"}
    ),
    "notification": frozenset({"alembic_version", "key_fingerprints", "subscriptions"}),
}
"""What does not grow with cases: the directory, people, keys, what is forgotten after days."""

_KERNEL: Final = Path(__file__).parents[2] / "shared" / "kernel.sql"


class UnknownTable(Exception):  # noqa: N818
    """A table, or a unique index, of which nothing here says what becomes of it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `own`: the server fills it (an identity, a sequence, a transaction's id)."""

    name: str
    type: str
    own: bool


@dataclass(slots=True)
class Table:
    """A table with what is needed to multiply it.

    `unique` are the columns of each unique index, `indexed` those of any; `refers` are columns
    that refer to a table that does not grow, with its name. `ids` are columns of text whose every
    value is a UUID; `inner` names, of a column of JSON, the keys at its top that hold ids.
    """

    schema: str
    name: str
    columns: Sequence[Column]
    unique: Sequence[frozenset[str]]
    indexed: frozenset[str]
    refers: Mapping[str, str]
    ids: frozenset[str] = frozenset()
    inner: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def copy(self) -> str:
        """The table of the rows that are multiplied."""
        return f"filling.{self.schema}_{self.name}"

    @property
    def position(self) -> str | None:
        """The column that is a place in a provider's feed."""
        names = [column.name for column in self.columns]
        return POSITIONS.get((self.schema, self.name)) or next(
            (name for name in names if name == "feed_seq"), None
        )

    @property
    def provider(self) -> str:
        """The column that says whose feed that is."""
        names = [column.name for column in self.columns]
        return "organisation" if "organisation" in names else "provider_id"


def kernel_tables() -> frozenset[str]:
    """Return the tables that every service has, but for those that a case stays in."""
    made = re.findall(r"^CREATE TABLE (\w+) ", _KERNEL.read_text("utf-8"), re.MULTILINE)
    return frozenset(made) - set(ORDERS)


_TABLES: Final = """
SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT c.relispartition ORDER BY c.relname
"""
_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type,
  a.attidentity <> '' OR a.attgenerated <> '' OR a.atttypid = 'xid8'::regtype
  OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval%', false) AS own
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES: Final = """
SELECT i.indisunique AND i.indpred IS NULL AS once,
  coalesce(array_agg(a.attname) FILTER (WHERE a.attname IS NOT NULL), '{}') AS names
FROM pg_index i LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = $1 GROUP BY i.indexrelid, 1
"""
_REFERS: Final = """
SELECT a.attname, t.relname FROM pg_constraint k JOIN pg_class t ON t.oid = k.confrelid
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND k.conrelid = $1
"""


async def growing_tables(conn: asyncpg.Connection[Any]) -> list[Table]:
    """Return the tables that grow with cases.

    Raises:
        UnknownTable: there is one that is neither known to grow nor known not to.

    """
    found = []
    for schema in SCHEMAS:
        tables = [await _table(conn, schema, row) for row in await conn.fetch(_TABLES, schema)]
        found += sort_out(schema, tables)
    return found


async def _table(conn: asyncpg.Connection[Any], schema: str, row: Mapping[str, Any]) -> Table:
    columns = [Column(*one) for one in await conn.fetch(_COLUMNS, row["oid"])]
    indexes = await conn.fetch(_INDEXES, row["oid"])
    return Table(
        schema,
        row["relname"],
        columns,
        [frozenset(index["names"]) for index in indexes if index["once"]],
        frozenset(name for index in indexes for name in index["names"]),
        dict(await conn.fetch(_REFERS, row["oid"])),
    )


def sort_out(schema: str, tables: Iterable[Table]) -> list[Table]:
    """Return those tables of a schema that grow.

    Raises:
        UnknownTable: there is one that is neither known to grow nor known not to.

    """
    passed = kernel_tables() | STILL[schema] | {name for of, name in HEADS if of == schema}
    left = [table for table in tables if table.name not in passed]
    grows = {
        table.name
        for table in left
        if table.name in ORDERS or {c.name for c in table.columns} & {*IDS, "feed_seq"}
    }
    while more := {t.name for t in left if grows & {*t.refers.values()}} - grows:
        grows |= more
    if unknown := sorted({table.name for table in left} - grows):
        message = f"does a table of {schema} grow with cases? {', '.join(unknown)}: STILL or IDS"
        raise UnknownTable(message)
    for table in left:
        table.refers = {name: other for name, other in table.refers.items() if other not in grows}
    return left
