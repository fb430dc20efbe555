"""Submissions, cases, subjects with their wrapped keys, and what is sealed under them."""

from __future__ import annotations

from alembic import op

from shared.migrate import create_kernel

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE key_fingerprints (
      kind text NOT NULL,
      fingerprint bytea NOT NULL,
      first_seen timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (kind, fingerprint)
    )
    """,
    """
    CREATE TABLE submissions (
      seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      submission_id uuid NOT NULL UNIQUE,
      channel text NOT NULL,
      gateway text NOT NULL DEFAULT '',
      message_key bytea,
      message_id text,
      received_at timestamptz NOT NULL,
      organisation text NOT NULL DEFAULT '',
      actor text NOT NULL,
      entitled boolean NOT NULL,
      case_ids uuid[] NOT NULL,
      report jsonb NOT NULL,
      reading jsonb,
      state text NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'opened', 'no_case')),
      open_at timestamptz NOT NULL,
      open_tries integer NOT NULL DEFAULT 0,
      receipt_hash bytea NOT NULL UNIQUE,
      traceparent text,
      test boolean NOT NULL DEFAULT false,
      UNIQUE (channel, gateway, message_key)
    )
    """,
    "CREATE INDEX submissions_unopened ON submissions (open_at) WHERE state = 'received'",
    """
    CREATE TABLE cases (
      case_id uuid PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
      txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      submission_id uuid NOT NULL REFERENCES submissions (submission_id),
      person_ref text,
      organisation text NOT NULL DEFAULT '',
      status text NOT NULL DEFAULT 'submitted',
      facts jsonb,
      version integer NOT NULL DEFAULT 0,
      changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX submissions_order ON submissions (txid, seq)",
    "CREATE INDEX cases_order ON cases (txid, seq)",
    "CREATE INDEX cases_submission ON cases (submission_id)",
    """
    CREATE TABLE subjects (
      subject_id uuid PRIMARY KEY,
      case_id uuid NOT NULL,
      submission_id uuid NOT NULL REFERENCES submissions (submission_id),
      kind text NOT NULL CHECK (kind IN ('reporter', 'person', 'alleged')),
      ref text,
      wrapped_key bytea,
      commitment bytea NOT NULL,
      kek bytea NOT NULL
    )
    """,
    "CREATE INDEX subjects_submission ON subjects (submission_id)",
    "CREATE INDEX subjects_case ON subjects (case_id)",
    """
    CREATE TABLE sealed (
      subject_id uuid NOT NULL REFERENCES subjects (subject_id),
      field text NOT NULL,
      version integer NOT NULL DEFAULT 1,
      ciphertext bytea NOT NULL,
      PRIMARY KEY (subject_id, field, version)
    )
    """,
    "ALTER TABLE cases ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE cases FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY cases_web ON cases TO intake_web
    USING (current_setting('pashe.organisation', true) = '*'
      OR (organisation <> '' AND organisation = current_setting('pashe.organisation', true)))
    """,
    "CREATE POLICY cases_flow ON cases TO intake_flow USING (true) WITH CHECK (true)",
    "ALTER TABLE submissions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE submissions FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY submissions_web ON submissions TO intake_web
    USING (current_setting('pashe.organisation', true) = '*'
      OR (organisation <> '' AND organisation = current_setting('pashe.organisation', true)))
    """,
    "CREATE POLICY submissions_flow ON submissions TO intake_flow USING (true) WITH CHECK (true)",
    """
    GRANT SELECT, INSERT, UPDATE, DELETE ON key_fingerprints, submissions, cases, subjects, sealed
    TO intake_flow
    """,
    "GRANT SELECT, UPDATE ON cases, submissions TO intake_web",
)


def upgrade() -> None:
    """Make the tables of intake."""
    create_kernel(op, "intake")
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: reports are never dropped by a migration."""
    message = "the first migration holds people's reports and is never undone"
    raise RuntimeError(message)
