"""The tasks of a case, done ones too: by its id."""

from __future__ import annotations

from alembic import op

revision = "0009_tasks"
down_revision = "0008_notices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.get_bind().exec_driver_sql("CREATE INDEX tasks_case ON tasks (case_id, kind)")


def downgrade() -> None:
    """Remove it."""
    op.get_bind().exec_driver_sql("DROP INDEX tasks_case")
