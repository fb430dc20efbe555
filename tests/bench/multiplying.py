"""How rows of cases are multiplied: a statement for each table that grows.

Copy `n` of a row is the same row with other ids, always the same for one id and `n`, and `n` steps
earlier; its case is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.bench.catalogue import UnknownTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.catalogue import Column, Table

OVER: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("intake", "submissions"): {
        "state": "CASE {state} WHEN 'received' THEN 'opened' ELSE {state} END"
    },
    ("intake", "cases"): {
        "status": "CASE WHEN t.facts IS NULL THEN {status} ELSE 'closed' END",
        "facts": """jsonb_set({facts}, '{{status}}', '"closed"')""",
    },
    ("intake", "tasks"): {
        "state": "'done'",
        "ended_by": "coalesce({ended_by}, 'service:bench')",
        "ended_at": "coalesce({ended_at}, {opened_at})",
    },
    ("intake", "case_referrals"): {"state": "'delivered'"},
    ("intake", "replies"): {"state": "CASE {state} WHEN 'planned' THEN 'sent' ELSE {state} END"},
    ("referral", "cases"): {
        "status": "'closed'",
        "facts": """jsonb_set({facts}, '{{status}}', '"closed"')""",
    },
    ("referral", "referrals"): {
        "state": "'delivered'",
        "answer_by": "NULL",
        "body": """jsonb_set({body}, '{{state}}', '"delivered"')""",
    },
    ("notification", "notices"): {
        "state": "CASE {state} WHEN 'waiting' THEN 'delivered' ELSE {state} END"
    },
    ("notification", "person_notices"): {
        "state": "CASE WHEN {state} IN ('waiting', 'in_flight') THEN 'delivered' ELSE {state} END",
        "due_at": "NULL",
        "ask_at": "NULL",
        "leased_until": "NULL",
    },
}
"""What is otherwise of a case that is over; `{name}` is the column as it is mapped."""

UUID_LIKE: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

FUNCTIONS: Final = """
CREATE FUNCTION filling.other(id uuid, n integer, step bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN id = '00000000-0000-0000-0000-000000000000' THEN id ELSE
    overlay(overlay(md5(id::text || n)
      PLACING CASE WHEN substr(id::text, 15, 1) = '7' THEN
        lpad(to_hex(('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint
          - n * step), 12, '0') || '7'
        ELSE substr(md5(id::text || n), 1, 12) || substr(id::text, 15, 1) END FROM 1 FOR 13)
      PLACING substr(id::text, 20, 1) FROM 17 FOR 1)::uuid END
$$;
CREATE FUNCTION filling.other_of(ids uuid[], n integer, step bigint) RETURNS uuid[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(filling.other(id, n, step) ORDER BY at), '{}')
  FROM unnest(ids) WITH ORDINALITY AS t (id, at)
$$;
CREATE FUNCTION filling.other_words(words text[], n integer) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(left(md5(word || n), greatest(length(word), 8)) ORDER BY at), '{}')
  FROM unnest(words) WITH ORDINALITY AS t (word, at)
$$
"""
"""The mapping: an id that begins with its time (version 7) begins with the earlier one."""

_WAYS: Final[Mapping[str, str]] = {
    "uuid": "filling.other({}, g.n, g.step)",
    "uuid[]": "filling.other_of({}, g.n, g.step)",
    "bytea": "sha256({} || int4send(g.n))",
    "text[]": "filling.other_words({}, g.n)",
    "timestamp with time zone": "{} - g.n * g.step * interval '1 millisecond'",
}
"""What a value of a type is in copy `g.n`."""

_INDEXED: Final = ("bytea", "text[]")
"""Types that are as they were where no index looks at them: what is sealed, lists of codes."""


def _mapped(table: Table, column: Column) -> str | None:
    """Return the SQL of a column in a copy, or None where it is as it was; `t` is the row."""
    name, value = column.name, f"t.{column.name}"
    if name in table.refers:
        return None
    if name == table.position:
        return f"f.base + f.width * (g.n - g.first) + {value}"
    if name in table.ids:
        return f"filling.other({value}::uuid, g.n, g.step)::text"
    if column.type in _INDEXED and name not in table.indexed:
        return None
    if column.type in _WAYS:
        return _WAYS[column.type].format(value)
    for key in table.inner.get(name, ()):
        new = f"to_jsonb(filling.other((t.{name} ->> '{key}')::uuid, g.n, g.step))"
        value = f"jsonb_set_lax({value}, '{{{key}}}', {new}, false, 'return_target')"
    return value if value != f"t.{name}" else None


def statement(table: Table) -> str:
    """Return the statement that adds copies $1 to $2 of a table's rows, $3 ms a step.

    Raises:
        UnknownTable: two copies would be the same to a unique index.

    """
    columns = [column for column in table.columns if not column.own]
    mapped = {column.name: _mapped(table, column) for column in columns}
    values = {name: sql or f"t.{name}" for name, sql in mapped.items()}
    new = {name for name, sql in mapped.items() if sql} | {c.name for c in table.columns if c.own}
    for index in table.unique:
        if index and not index & new:
            message = f"copies of {table.place} would be the same by {sorted(index)}"
            raise UnknownTable(message)
    over = OVER.get((table.schema, table.name), {})
    told = {**values, **{name: sql.format_map(values) for name, sql in over.items()}}
    feeds = ""
    if table.position is not None:
        feeds = f" LEFT JOIN filling.feeds AS f ON f.provider_id = t.{table.provider}"
    return (
        f"INSERT INTO {table.place} ({', '.join(told)}) SELECT {', '.join(told.values())}"
        " FROM (SELECT n, $1::integer AS first, $3::bigint AS step"
        " FROM generate_series($1::integer, $2::integer) AS n) AS g"
        f" CROSS JOIN {table.copy} AS t{feeds}"
    )
