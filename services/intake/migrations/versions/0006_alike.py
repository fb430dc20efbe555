"""Marks by which cases are compared, and what a person said of two: that they are different."""

from __future__ import annotations

from alembic import op

revision = "0006_alike"
down_revision = "0005_awareness"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE subjects ADD COLUMN alike text[] NOT NULL DEFAULT '{}'",
    "CREATE INDEX subjects_alike ON subjects USING gin (alike) WHERE alike <> '{}'",
    "CREATE INDEX cases_district ON cases ((facts ->> 'district')) WHERE facts IS NOT NULL",
    # `grounds` are what was known when it was said: with more, the two are shown again
    """
    CREATE TABLE said_different (
      one uuid NOT NULL REFERENCES cases (case_id),
      other uuid NOT NULL REFERENCES cases (case_id) CHECK (one < other),
      grounds text[] NOT NULL,
      said_by text NOT NULL,
      said_at timestamptz NOT NULL,
      undone_by text,
      undone_at timestamptz
    )
    """,
    """
    CREATE UNIQUE INDEX said_different_once ON said_different (one, other) WHERE undone_at IS NULL
    """,
    "CREATE INDEX said_different_other ON said_different (other)",
    "ALTER TABLE said_different ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE said_different FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY said_different_flow ON said_different TO intake_flow
    USING (true) WITH CHECK (true)
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON said_different TO intake_flow",
)


def upgrade() -> None:
    """Make the column and the table."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Remove them."""
    bind = op.get_bind()
    bind.exec_driver_sql("DROP TABLE said_different")
    bind.exec_driver_sql("DROP INDEX cases_district")
    bind.exec_driver_sql("ALTER TABLE subjects DROP COLUMN alike")
