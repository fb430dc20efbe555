"""Who asked for the notices of awareness, what was sent, and of nobody who reported."""

from __future__ import annotations

from alembic import op

revision = "0008_notices"
down_revision = "0007_packets"
branch_labels = None
depends_on = None

_TABLES = (
    *("awareness_subscribers", "awareness_asked"),
    *("awareness_messages", "awareness_sendings"),
)

_STATEMENTS = (
    # The key is the blind index of a number, which is sealed for it; `district` is a P-code.
    """
    CREATE TABLE awareness_subscribers (
      number_index bytea PRIMARY KEY,
      number bytea NOT NULL,
      district text,
      language text NOT NULL CHECK (language IN ('bn', 'en')),
      since date NOT NULL
    )
    """,
    "CREATE INDEX awareness_subscribers_of ON awareness_subscribers (district)",
    # Which messages asked, for some days: a gateway tells one again.
    """
    CREATE TABLE awareness_asked (
      gateway text NOT NULL,
      message_key bytea NOT NULL,
      asked_at timestamptz NOT NULL,
      PRIMARY KEY (gateway, message_key)
    )
    """,
    "CREATE INDEX awareness_asked_at ON awareness_asked (asked_at)",
    """
    CREATE TABLE awareness_messages (
      message_id uuid PRIMARY KEY,
      set_name text NOT NULL,
      places text[] NOT NULL,
      districts text[] NOT NULL,
      planned_by text NOT NULL,
      planned_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX awareness_messages_latest ON awareness_messages (planned_at, message_id)",
    # To whom is gone with the subscription, or 90 days later; that something was sent stays.
    """
    CREATE TABLE awareness_sendings (
      sending_id uuid PRIMARY KEY,
      message_id uuid NOT NULL REFERENCES awareness_messages (message_id),
      number_index bytea REFERENCES awareness_subscribers (number_index) ON DELETE SET NULL,
      state text NOT NULL
        CHECK (state IN ('planned', 'sending', 'sent', 'failed', 'unknown')),
      not_before timestamptz NOT NULL,
      send_before timestamptz NOT NULL,
      changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX awareness_sendings_of ON awareness_sendings (message_id, state)",
    """
    CREATE INDEX awareness_sendings_number ON awareness_sendings (number_index)
    WHERE number_index IS NOT NULL
    """,
    """
    CREATE INDEX awareness_sendings_due ON awareness_sendings (not_before, sending_id)
    WHERE state IN ('planned', 'sending')
    """,
)


def upgrade() -> None:
    """Make the tables."""
    run = op.get_bind().exec_driver_sql
    for statement in _STATEMENTS:
        run(statement)
    for table in _TABLES:
        run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        run(f"CREATE POLICY {table}_flow ON {table} TO intake_flow USING (true) WITH CHECK (true)")
        run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO intake_flow")


def downgrade() -> None:
    """Drop them: who asked is forgotten."""
    for table in reversed(_TABLES):
        op.get_bind().exec_driver_sql(f"DROP TABLE {table}")
