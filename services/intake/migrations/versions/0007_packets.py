"""Packets that were made for other centres, and what those answered."""

from __future__ import annotations

from alembic import op

revision = "0007_packets"
down_revision = "0006_alike"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Of what was sent there is its digest; the receiver's own number is sealed with the person.
    """
    CREATE TABLE packets (
      packet_id uuid PRIMARY KEY,
      case_id uuid NOT NULL REFERENCES cases (case_id),
      receiver text NOT NULL,
      format text NOT NULL,
      way text NOT NULL CHECK (way IN ('download', 'drop')),
      sha256 bytea NOT NULL,
      fields text[] NOT NULL,
      made_by text NOT NULL,
      made_at timestamptz NOT NULL,
      answer text CHECK (answer IN ('received', 'accepted', 'declined')),
      answered_by text,
      answered_at timestamptz
    )
    """,
    "CREATE INDEX packets_case ON packets (case_id, made_at)",
    "ALTER TABLE packets ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE packets FORCE ROW LEVEL SECURITY",
    "CREATE POLICY packets_flow ON packets TO intake_flow USING (true) WITH CHECK (true)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON packets TO intake_flow",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Remove it: that packets were made stands in the history."""
    op.get_bind().exec_driver_sql("DROP TABLE packets")
