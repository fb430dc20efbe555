"""Submissions, cases, subjects with their wrapped keys, and what is sealed under them."""

from __future__ import annotations

from alembic import op

from shared.migrate import create_kernel, create_reach

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    *("key_fingerprints", "submissions", "cases", "subjects", "sealed", "case_referrals"),
    *("case_steps", "consents", "tasks", "duty", "ties", "closings", "holds", "erasures"),
    *("further_receipts", "messages", "stopped_numbers", "replies"),
    *("sign_ins", "staff_sessions", "limits", "talk_sessions"),
    *("attachments", "attachment_parts", "attachment_openings"),
    *("provider_numbers", "provider_answers", "form_logins"),
)
"""Every table of intake: row-level security is forced on each, and a request sees none of them
but by a policy of `_SEEN`."""

_OWN = "current_setting('pashe.organisation', true)"
_MINE = f"({_OWN} = '*' OR (organisation <> '' AND organisation = {_OWN}))"
_EACH_CASE = """
cardinality(case_ids) =
  (SELECT count(*) FROM cases c WHERE c.submission_id = submissions.submission_id)
"""
_SEEN = {
    "cases": f"{_MINE} AND in_reach(facts)",
    # a report is seen by whoever sees each of its cases
    "submissions": f"{_MINE} AND {_EACH_CASE}",
    # what is before the safeguarding focal person is before nobody else
    "tasks": f"{_OWN} = '*' AND case_in_reach(case_id)"
    " AND (level <> 'safeguarding_focal_person' OR level"
    " = ANY (nullif(current_setting('pashe.names', true), '')::text[]))",
}
"""Which rows of a table a request sees."""

_STATEMENTS = (
    """
    CREATE TABLE key_fingerprints (
      kind text NOT NULL,
      fingerprint bytea NOT NULL,
      first_seen timestamptz NOT NULL DEFAULT now(),
      destroyed_at timestamptz,
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
      state text NOT NULL DEFAULT 'received'
        CHECK (state IN ('call', 'received', 'opened', 'no_case', 'answer')),
      revision integer NOT NULL DEFAULT 0,
      external text[] NOT NULL DEFAULT '{}',
      open_at timestamptz NOT NULL,
      open_tries integer NOT NULL DEFAULT 0,
      receipt_hash bytea NOT NULL UNIQUE,
      sender bytea,
      answers uuid,
      seen_at timestamptz,
      traceparent text,
      test boolean NOT NULL DEFAULT false,
      UNIQUE (channel, gateway, message_key)
    )
    """,
    # A call that is being written down (`call`) is a submission that nothing was told of yet.
    "CREATE INDEX submissions_calls ON submissions (open_at) WHERE state = 'call'",
    "CREATE INDEX submissions_external ON submissions USING gin (external) WHERE external <> '{}'",
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
    """
    CREATE INDEX cases_t0 ON cases (changed_at)
    WHERE status = 'open' AND facts ->> 'urgency' = 'T0'
    """,
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
      kek bytea NOT NULL,
      phone_mark bytea,
      name_mark bytea
    )
    """,
    "CREATE INDEX subjects_phone ON subjects (phone_mark) WHERE phone_mark IS NOT NULL",
    "CREATE INDEX subjects_name ON subjects (name_mark) WHERE name_mark IS NOT NULL",
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
    "CREATE INDEX submissions_answers ON submissions (answers) WHERE answers IS NOT NULL",
    "CREATE INDEX submissions_sender ON submissions (sender, seq) WHERE sender IS NOT NULL",
    """
    CREATE TABLE case_referrals (
      referral_id uuid PRIMARY KEY,
      case_id uuid NOT NULL,
      need text NOT NULL,
      attempt integer NOT NULL,
      state text NOT NULL,
      how_much text,
      urgency text NOT NULL,
      version integer NOT NULL,
      provider_id text
    )
    """,
    "CREATE INDEX case_referrals_case ON case_referrals (case_id)",
    "CREATE INDEX case_referrals_provider ON case_referrals (provider_id)",
    # From which numbers providers' workers answer by SMS: sealed, and found by a keyed hash.
    """
    CREATE TABLE provider_numbers (
      number_id uuid PRIMARY KEY,
      provider_id text NOT NULL,
      number_index bytea NOT NULL,
      number bytea NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      way text NOT NULL DEFAULT 'sms' CHECK (way IN ('sms', 'email')),
      ending text NOT NULL,
      entered_by text NOT NULL,
      UNIQUE (provider_id, number_index)
    )
    """,
    "CREATE INDEX provider_numbers_index ON provider_numbers (number_index)",
    # Which messages answered which referral: a repeat of one is nothing.
    """
    CREATE TABLE provider_answers (
      gateway text NOT NULL,
      message_key bytea NOT NULL,
      case_id uuid NOT NULL,
      referral_id uuid NOT NULL,
      answer text NOT NULL CHECK (answer IN ('yes', 'no')),
      answered_at timestamptz NOT NULL,
      PRIMARY KEY (gateway, message_key)
    )
    """,
    "CREATE INDEX provider_answers_referral ON provider_answers (referral_id)",
    # Who gave which consent, coarsely; a witness's name and the like are sealed with the person.
    """
    CREATE TABLE consents (
      consent_id uuid PRIMARY KEY,
      case_id uuid NOT NULL REFERENCES cases (case_id),
      state text NOT NULL DEFAULT 'current'
        CHECK (state IN ('current', 'changed', 'withdrawn', 'expired')),
      given_by text NOT NULL,
      basis text NOT NULL,
      given_at timestamptz NOT NULL,
      recorded_by text NOT NULL,
      purposes text[] NOT NULL,
      providers text[] NOT NULL,
      fields text[],
      share_identity boolean NOT NULL,
      explained boolean NOT NULL,
      how text,
      expires_at timestamptz,
      heard_by text,
      decision_body text,
      instrument text,
      ended_at timestamptz,
      ended_by text
    )
    """,
    "CREATE INDEX consents_case ON consents (case_id, given_at)",
    """
    CREATE TABLE tasks (
      task_id uuid PRIMARY KEY,
      case_id uuid NOT NULL,
      kind text NOT NULL,
      about uuid NOT NULL,
      urgency text,
      level text NOT NULL,
      named text,
      detail text,
      state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'claimed', 'done')),
      opened_at timestamptz NOT NULL,
      claimed_by text,
      claimed_at timestamptz,
      ended_by text,
      ended_at timestamptz,
      outcome text
    )
    """,
    "CREATE UNIQUE INDEX tasks_one ON tasks (case_id, kind, about) WHERE state <> 'done'",
    """
    CREATE INDEX tasks_worst ON tasks (coalesce(urgency, 'T9'), opened_at, task_id)
    WHERE state <> 'done'
    """,
    """
    CREATE TABLE duty (
      duty_id uuid PRIMARY KEY,
      person text NOT NULL,
      level text NOT NULL,
      district text,
      begins timestamptz NOT NULL,
      ends timestamptz NOT NULL CHECK (ends > begins),
      way text NOT NULL DEFAULT 'desk' CHECK (way IN ('desk', 'sms', 'call', 'push')),
      number bytea,
      entered_by text NOT NULL
    )
    """,
    "CREATE INDEX duty_now ON duty (ends)",
    # who is close to whom, in pseudonyms and keys of providers: a conflict of one is one of both
    """
    CREATE TABLE ties (
      tie_id uuid PRIMARY KEY,
      one text NOT NULL,
      other text NOT NULL CHECK (other <> one),
      said_by text NOT NULL,
      said_at timestamptz NOT NULL,
      ended_at timestamptz
    )
    """,
    "CREATE INDEX cases_excluded ON cases USING gin ((facts -> 'excluded'))",
    """
    CREATE TABLE closings (
      case_id uuid PRIMARY KEY,
      proposed_by text NOT NULL,
      reason text NOT NULL,
      proposed_at timestamptz NOT NULL
    )
    """,
    # Every step that people take with a case; texts are sealed with the person under `note`.
    """
    CREATE TABLE case_steps (
      step_id uuid PRIMARY KEY,
      case_id uuid NOT NULL REFERENCES cases (case_id),
      kind text NOT NULL,
      by text NOT NULL,
      at timestamptz NOT NULL,
      version integer NOT NULL,
      detail jsonb NOT NULL,
      note text,
      night boolean NOT NULL
    )
    """,
    "CREATE INDEX case_steps_case ON case_steps (case_id, at)",
    "CREATE INDEX case_steps_at ON case_steps (at)",
    """
    CREATE INDEX cases_worker ON cases ((facts #>> '{work,worker}'))
    WHERE status IN ('open', 'review_due')
    """,
    # A case under a hold is never erased; who proposed and who approved an erasure stays.
    """
    CREATE TABLE holds (
      case_id uuid NOT NULL REFERENCES cases (case_id),
      reason text NOT NULL,
      placed_by text NOT NULL,
      placed_at timestamptz NOT NULL,
      lifted_by text,
      lifted_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX holds_one ON holds (case_id) WHERE lifted_at IS NULL",
    """
    CREATE TABLE erasures (
      case_id uuid NOT NULL REFERENCES cases (case_id),
      subject text NOT NULL CHECK (subject IN ('case', 'reporter', 'alleged')),
      proposed_by text NOT NULL,
      asked_by text NOT NULL,
      checked_how text NOT NULL,
      shared boolean NOT NULL,
      proposed_at timestamptz NOT NULL,
      approved_by text,
      erased_at timestamptz,
      epochs bytea[] NOT NULL DEFAULT '{}',
      listed_at timestamptz,
      PRIMARY KEY (case_id, subject)
    )
    """,
    """
    CREATE INDEX erasures_unlisted ON erasures (erased_at)
    WHERE erased_at IS NOT NULL AND listed_at IS NULL
    """,
    # What somebody does too often: a keyed mark of who, for no longer than the window.
    """
    CREATE TABLE limits (
      kind text NOT NULL,
      who bytea NOT NULL,
      slot bigint NOT NULL,
      n integer NOT NULL,
      PRIMARY KEY (kind, who, slot)
    )
    """,
    """
    CREATE TABLE further_receipts (
      receipt_hash bytea PRIMARY KEY,
      submission_id uuid NOT NULL REFERENCES submissions (submission_id),
      issued_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE messages (
      message_id uuid PRIMARY KEY,
      submission_id uuid NOT NULL REFERENCES submissions (submission_id),
      subject_id uuid NOT NULL REFERENCES subjects (subject_id),
      way text NOT NULL CHECK (way IN ('in', 'out')),
      kind text NOT NULL CHECK (kind IN ('words', 'question', 'end', 'feedback')),
      field text NOT NULL,
      said_at timestamptz NOT NULL,
      actor text NOT NULL
    )
    """,
    "CREATE INDEX messages_submission ON messages (submission_id, said_at)",
    # A photo or a voice note that came with a report; its bytes are sealed in parts, as they came.
    """
    CREATE TABLE attachments (
      attachment_id uuid PRIMARY KEY,
      submission_id uuid NOT NULL REFERENCES submissions (submission_id),
      subject_id uuid NOT NULL REFERENCES subjects (subject_id),
      kind text NOT NULL CHECK (kind IN ('image', 'audio', 'unknown')),
      format text NOT NULL,
      sha256 bytea NOT NULL,
      size integer NOT NULL,
      received_at timestamptz NOT NULL,
      state text NOT NULL DEFAULT 'kept' CHECK (state IN ('kept', 'flagged', 'erased')),
      flagged_by text,
      flagged_at timestamptz,
      original_asked_by text,
      original_asked_role text,
      original_asked_at timestamptz,
      UNIQUE (submission_id, sha256)
    )
    """,
    "CREATE INDEX attachments_subject ON attachments (subject_id)",
    """
    CREATE TABLE attachment_parts (
      attachment_id uuid NOT NULL REFERENCES attachments (attachment_id),
      nth integer NOT NULL,
      ciphertext bytea NOT NULL,
      PRIMARY KEY (attachment_id, nth)
    )
    """,
    """
    CREATE TABLE attachment_openings (
      opening_id uuid PRIMARY KEY,
      attachment_id uuid NOT NULL REFERENCES attachments (attachment_id),
      opened_by text NOT NULL,
      opened_at timestamptz NOT NULL,
      shown text NOT NULL CHECK (shown IN ('blurred', 'clear', 'sound', 'original')),
      reason text NOT NULL
    )
    """,
    "CREATE INDEX attachment_openings_by ON attachment_openings (opened_by, opened_at)",
    """
    CREATE TABLE stopped_numbers (
      number bytea PRIMARY KEY,
      stopped_at timestamptz NOT NULL,
      submission_id uuid NOT NULL
    )
    """,
    """
    CREATE TABLE replies (
      submission_id uuid PRIMARY KEY REFERENCES submissions (submission_id),
      gateway text NOT NULL,
      kind text NOT NULL,
      language text NOT NULL,
      state text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'sending', 'sent', 'failed', 'unknown', 'expired')),
      send_before timestamptz NOT NULL,
      changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX replies_due ON replies (send_before) WHERE state IN ('planned', 'sending')",
    # A conversation until it is stored as a submission; what was said is sealed, and the row is
    # gone a day later. `root` is its first session, `marks` are all that it was carried over.
    """
    CREATE TABLE talk_sessions (
      root bytea PRIMARY KEY,
      marks bytea[] NOT NULL,
      channel text NOT NULL,
      gateway text NOT NULL,
      sender bytea,
      sealed bytea NOT NULL,
      heard integer NOT NULL,
      told integer NOT NULL DEFAULT 0,
      ended boolean NOT NULL DEFAULT false,
      submission_id uuid REFERENCES submissions (submission_id),
      due_at timestamptz,
      changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX talk_sessions_marks ON talk_sessions USING gin (marks)",
    "CREATE INDEX talk_sessions_sender ON talk_sessions (sender, changed_at)",
    "CREATE INDEX talk_sessions_due ON talk_sessions (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX talk_sessions_old ON talk_sessions (changed_at)",
    """
    CREATE TABLE sign_ins (
      state bytea PRIMARY KEY,
      browser bytea NOT NULL,
      issuer text NOT NULL,
      nonce text NOT NULL,
      verifier text NOT NULL,
      back text NOT NULL,
      max_age integer,
      expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX sign_ins_over ON sign_ins (expires_at)",
    """
    CREATE TABLE staff_sessions (
      mark text PRIMARY KEY,
      issuer text NOT NULL,
      issuer_sid text,
      expires_at timestamptz NOT NULL,
      ended_at timestamptz
    )
    """,
    "CREATE INDEX staff_sessions_over ON staff_sessions (expires_at)",
    # Who a login of an app that fills forms stands for; its password is stored nowhere.
    """
    CREATE TABLE form_logins (
      username text PRIMARY KEY,
      subject text NOT NULL,
      claims jsonb NOT NULL,
      made_at timestamptz NOT NULL,
      expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX form_logins_of ON form_logins (subject)",
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
    f"GRANT SELECT ON {', '.join(_SEEN)} TO intake_web",
)


def upgrade() -> None:
    """Make the tables of intake."""
    create_kernel(op, "intake")
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
    create_reach(op, "intake")
    for table, seen in _SEEN.items():
        policy = f"CREATE POLICY {table}_web ON {table} FOR SELECT TO intake_web USING ({seen})"
        op.get_bind().exec_driver_sql(policy)


def downgrade() -> None:
    """Refuse: reports are never dropped by a migration."""
    message = "the first migration holds people's reports and is never undone"
    raise RuntimeError(message)
