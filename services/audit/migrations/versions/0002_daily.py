"""The checkpoint of each day, for partners; insert-only."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE daily (
      day date PRIMARY KEY,
      size bigint NOT NULL,
      note text NOT NULL,
      at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "GRANT SELECT, INSERT ON daily TO audit_flow",
    "GRANT SELECT ON daily TO audit_web",
)


def upgrade() -> None:
    """Make the table of daily checkpoints."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop it."""
    op.get_bind().exec_driver_sql("DROP TABLE daily")
