"""Phones of committee members, and what a coordinator asked of a member."""

from __future__ import annotations

from alembic import op

revision = "0002_committee"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("committee_phones", "committee_tasks")

_STATEMENTS = (
    # The random number from which the server's half of a phone's key follows; never the half.
    """
    CREATE TABLE committee_phones (
      phone_id uuid PRIMARY KEY,
      member text NOT NULL,
      nonce bytea NOT NULL,
      proof bytea NOT NULL,
      failures integer NOT NULL DEFAULT 0,
      made_at timestamptz NOT NULL,
      used_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX committee_phones_of ON committee_phones (member, used_at)",
    """
    CREATE TABLE committee_tasks (
      task_id uuid PRIMARY KEY,
      case_id uuid NOT NULL REFERENCES cases,
      member text NOT NULL,
      kind text NOT NULL,
      due_at timestamptz NOT NULL,
      given_by text NOT NULL,
      given_at timestamptz NOT NULL,
      outcome text,
      answered_at timestamptz
    )
    """,
    "CREATE INDEX committee_tasks_of ON committee_tasks (member, due_at) WHERE outcome IS NULL",
    *(
        statement
        for table in _TABLES
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_flow ON {table} TO intake_flow USING (true) WITH CHECK (true)",
        )
    ),
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_TABLES)} TO intake_flow",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Remove them: what waits on phones is sealed to the centre besides."""
    for table in _TABLES:
        op.get_bind().exec_driver_sql(f"DROP TABLE {table}")
