"""Teams of places of help, and whose a session is: who ends, ends everywhere."""

from __future__ import annotations

from alembic import op

revision = "0004_teams"
down_revision = "0003_learning"
branch_labels = None
depends_on = None

_OWN = "current_setting('pashe.organisation', true)"

_STATEMENTS = (
    """
    CREATE TABLE provider_teams (
      worker_id uuid PRIMARY KEY,
      provider_id text NOT NULL,
      name text NOT NULL,
      subject text,
      role text NOT NULL,
      begins date NOT NULL,
      until date,
      invited_by text NOT NULL,
      invited_at timestamptz NOT NULL,
      joined_at timestamptz,
      ended_at timestamptz,
      ended_by text
    )
    """,
    """
    CREATE UNIQUE INDEX provider_teams_now ON provider_teams (provider_id, name)
    WHERE ended_at IS NULL
    """,
    "CREATE INDEX provider_teams_of ON provider_teams (provider_id, subject)",
    "ALTER TABLE provider_teams ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE provider_teams FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY provider_teams_flow ON provider_teams TO intake_flow
    USING (true) WITH CHECK (true)
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON provider_teams TO intake_flow",
    # a team is seen by the centre and by its own place of help
    f"""
    CREATE POLICY provider_teams_web ON provider_teams FOR SELECT TO intake_web
    USING ({_OWN} = '*' OR (provider_id <> '' AND provider_id = {_OWN}))
    """,
    "GRANT SELECT ON provider_teams TO intake_web",
    "ALTER TABLE staff_sessions ADD COLUMN subject text",
    "CREATE INDEX staff_sessions_of ON staff_sessions (subject) WHERE ended_at IS NULL",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Remove it: who worked for whom is forgotten, and nobody is refused for it."""
    op.get_bind().exec_driver_sql("ALTER TABLE staff_sessions DROP COLUMN subject")
    op.get_bind().exec_driver_sql("DROP TABLE provider_teams")
