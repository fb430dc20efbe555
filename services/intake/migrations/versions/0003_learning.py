"""Who signs in here, and what they passed of the modules."""

from __future__ import annotations

from alembic import op

revision = "0003_learning"
down_revision = "0002_committee"
branch_labels = None
depends_on = None

_TABLES = ("learners", "trainings")

_STATEMENTS = (
    # Pseudonyms only. `place` is where somebody is a member or works, `organisation` for whom.
    """
    CREATE TABLE learners (
      subject text PRIMARY KEY,
      role text NOT NULL,
      organisation text,
      place text,
      seen_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE trainings (
      subject text NOT NULL,
      module text NOT NULL,
      passed_on date NOT NULL,
      until date NOT NULL,
      taken_by text,
      PRIMARY KEY (subject, module)
    )
    """,
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
    """Drop them."""
    for table in reversed(_TABLES):
        op.get_bind().exec_driver_sql(f"DROP TABLE {table}")
