"""Courtyard talks that were held: how many came, of nobody who."""

from __future__ import annotations

from alembic import op

revision = "0005_awareness"
down_revision = "0004_teams"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # `place` is the P-code of an upazila; `counted_by` who works here and counted.
    """
    CREATE TABLE awareness_sessions (
      session_id uuid PRIMARY KEY,
      set_name text NOT NULL,
      place text NOT NULL,
      held_on date NOT NULL,
      women integer NOT NULL,
      men integer NOT NULL,
      girls integer NOT NULL,
      boys integer NOT NULL,
      counted_by text NOT NULL,
      counted_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX awareness_sessions_latest ON awareness_sessions (held_on, session_id)",
    "CREATE INDEX cases_upazila ON cases ((facts ->> 'upazila'))",
    "ALTER TABLE awareness_sessions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE awareness_sessions FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY awareness_sessions_flow ON awareness_sessions TO intake_flow
    USING (true) WITH CHECK (true)
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON awareness_sessions TO intake_flow",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop it."""
    op.get_bind().exec_driver_sql("DROP INDEX cases_upazila")
    op.get_bind().exec_driver_sql("DROP TABLE awareness_sessions")
