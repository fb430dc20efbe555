"""A notice may be a supervisor's digest: two counts, and no case."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counts, and the recipient."""
    for statement in (
        "ALTER TABLE person_notices ADD COLUMN waiting integer, ADD COLUMN soon integer",
        "ALTER TABLE person_notices DROP CONSTRAINT person_notices_recipient_check",
        """
        ALTER TABLE person_notices ADD CONSTRAINT person_notices_recipient_check CHECK
        (recipient IN ('person', 'reporter', 'on_duty', 'supervisor', 'provider'))
        """,
    ):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: the digests that were told would be lost."""
    message = "what was told is never dropped by a migration"
    raise RuntimeError(message)
