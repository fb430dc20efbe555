"""Providers' feeds, subscriptions with their sealed secrets, notices to systems and persons."""

from __future__ import annotations

from alembic import op

from shared.migrate import create_kernel, create_reach

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WEB = "notification_web"
_SEES = """
current_setting('pashe.organisation', true) = '*'
OR (organisation <> '' AND organisation = current_setting('pashe.organisation', true))
"""
_OWN = """
organisation NOT IN ('', '*') AND organisation = current_setting('pashe.organisation', true)
"""

_SEEN = {
    "subscriptions": _SEES,
    "notices": _SEES,
    "feed": f"({_SEES}) AND case_in_reach(case_id)",
    "person_notices": (
        "current_setting('pashe.organisation', true) = '*' AND case_in_reach(case_id)"
    ),
}
"""Which rows of a table a request sees; a notice to a system is shown with its entry of the feed"""

_STATEMENTS = (
    # what says who may see the notices of a case, and no more of it (services.notification.reach)
    """
    CREATE TABLE cases (
      case_id uuid PRIMARY KEY,
      sequence bigint NOT NULL,
      facts jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE key_fingerprints (
      kind text NOT NULL,
      fingerprint bytea NOT NULL,
      first_seen timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (kind, fingerprint)
    )
    """,
    """
    CREATE TABLE feed (
      organisation text NOT NULL,
      feed_seq bigint NOT NULL,
      event_id uuid NOT NULL,
      type text NOT NULL,
      happened_at timestamptz NOT NULL,
      arrived_at timestamptz NOT NULL,
      case_id uuid NOT NULL,
      referral_id uuid NOT NULL,
      state text NOT NULL,
      version integer NOT NULL,
      test boolean NOT NULL,
      excluded boolean NOT NULL DEFAULT false,
      traceparent text,
      PRIMARY KEY (organisation, feed_seq)
    )
    """,
    "CREATE INDEX feed_case ON feed (case_id)",
    "CREATE INDEX feed_age ON feed (arrived_at)",
    # how far each feed has no gap, and since when something is missing before a later entry
    """
    CREATE TABLE feed_heads (
      organisation text PRIMARY KEY,
      complete bigint NOT NULL DEFAULT 0,
      seen bigint NOT NULL DEFAULT 0,
      gap_since timestamptz
    )
    """,
    "CREATE INDEX feed_heads_gap ON feed_heads (gap_since) WHERE gap_since IS NOT NULL",
    # one list of all notices: both tables take their place in it from here
    "CREATE SEQUENCE notice_seq",
    """
    CREATE TABLE subscriptions (
      id uuid PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
      organisation text NOT NULL,
      notifier text NOT NULL DEFAULT 'webhook',
      url text,
      types text[],
      secret bytea NOT NULL,
      public_key text,
      standing text NOT NULL DEFAULT 'active'
        CHECK (standing IN ('active', 'dead', 'disabled', 'deleted')),
      created_at timestamptz NOT NULL,
      created_by text NOT NULL,
      ended_at timestamptz,
      ended_why text,
      failures integer NOT NULL DEFAULT 0,
      slow boolean NOT NULL DEFAULT false,
      last_success_at timestamptz,
      last_cursor bigint,
      last_failure_at timestamptz,
      last_status integer,
      last_trouble text,
      due_at timestamptz,
      lease uuid,
      leased_until timestamptz,
      holder text,
      CHECK ((notifier = 'webhook') = (url IS NOT NULL))
    )
    """,
    # a provider has one topic, and each event is in it once
    """
    CREATE UNIQUE INDEX subscriptions_topic ON subscriptions (organisation, notifier)
    WHERE notifier <> 'webhook' AND standing <> 'deleted'
    """,
    "CREATE INDEX subscriptions_due ON subscriptions (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX subscriptions_organisation ON subscriptions (organisation)",
    """
    CREATE TABLE notices (
      notice_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      seq bigint NOT NULL UNIQUE DEFAULT nextval('notice_seq'),
      txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      notifier text NOT NULL,
      organisation text NOT NULL,
      subscription_id uuid NOT NULL REFERENCES subscriptions (id),
      feed_seq bigint NOT NULL,
      state text NOT NULL CHECK (state IN ('waiting', 'sent', 'delivered', 'failed', 'withheld')),
      reason text,
      attempt integer NOT NULL DEFAULT 0,
      status integer,
      useful_until timestamptz NOT NULL,
      created_at timestamptz NOT NULL,
      ended_at timestamptz,
      UNIQUE (subscription_id, feed_seq)
    )
    """,
    "CREATE INDEX notices_waiting ON notices (subscription_id, feed_seq) WHERE state = 'waiting'",
    "CREATE INDEX notices_order ON notices (txid, seq)",
    "CREATE INDEX notices_feed ON notices (organisation, feed_seq)",
    "CREATE INDEX notices_age ON notices (created_at)",
    # never to whom: the mark is a keyed hash of the number and is blanked after minutes
    """
    CREATE TABLE person_notices (
      notice_id uuid PRIMARY KEY,
      seq bigint NOT NULL UNIQUE DEFAULT nextval('notice_seq'),
      txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      notifier text NOT NULL,
      recipient text NOT NULL CHECK (recipient IN
        ('person', 'reporter', 'on_duty', 'provider')),
      case_id uuid NOT NULL,
      referral_id uuid,
      event_id uuid NOT NULL,
      type text NOT NULL,
      happened_at timestamptz NOT NULL,
      template text NOT NULL,
      state text NOT NULL CHECK (state IN
        ('waiting', 'in_flight', 'sent', 'delivered', 'failed', 'unknown', 'withheld')),
      reason text,
      attempt integer NOT NULL DEFAULT 0,
      tries integer NOT NULL DEFAULT 0,
      status integer,
      test boolean NOT NULL,
      traceparent text,
      useful_until timestamptz NOT NULL,
      created_at timestamptz NOT NULL,
      due_at timestamptz,
      in_flight_at timestamptz,
      ask_at timestamptz,
      asked integer NOT NULL DEFAULT 0,
      ended_at timestamptz,
      lease uuid,
      leased_until timestamptz,
      holder text,
      recipient_mark bytea,
      UNIQUE (event_id, notifier, recipient)
    )
    """,
    "CREATE INDEX person_notices_due ON person_notices (notifier, due_at) WHERE state = 'waiting'",
    """
    CREATE INDEX person_notices_flight ON person_notices (notifier, leased_until)
    WHERE state = 'in_flight'
    """,
    """
    CREATE INDEX person_notices_asks ON person_notices (notifier, ask_at)
    WHERE ask_at IS NOT NULL
    """,
    """
    CREATE INDEX person_notices_hour ON person_notices (notifier, in_flight_at)
    WHERE in_flight_at IS NOT NULL
    """,
    """
    CREATE INDEX person_notices_mark ON person_notices (recipient_mark)
    WHERE recipient_mark IS NOT NULL
    """,
    "CREATE INDEX person_notices_order ON person_notices (txid, seq)",
    "CREATE INDEX person_notices_case ON person_notices (case_id)",
    "CREATE INDEX person_notices_age ON person_notices (created_at)",
    "ALTER TABLE person_notices ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE person_notices FORCE ROW LEVEL SECURITY",
    "CREATE POLICY person_notices_flow ON person_notices TO notification_flow USING (true)",
    *(
        statement
        for table in ("cases", "feed", "subscriptions", "notices")
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_flow ON {table} TO notification_flow USING (true)",
        )
    ),
    *(
        statement
        for table in ("subscriptions", "notices")
        for statement in (
            f"CREATE POLICY {table}_add ON {table} FOR INSERT TO {_WEB} WITH CHECK ({_OWN})",
            f"CREATE POLICY {table}_change ON {table} FOR UPDATE TO {_WEB} USING ({_SEES})",
        )
    ),
    """
    GRANT SELECT, INSERT, UPDATE, DELETE ON key_fingerprints, cases, feed, feed_heads,
      subscriptions, notices, person_notices TO notification_flow
    """,
    "GRANT USAGE ON SEQUENCE notice_seq TO notification_flow, notification_web",
    "GRANT SELECT ON feed TO notification_web",
    # a request sees what became of a notice to a person, and no mark of who that is
    """
    GRANT SELECT (notice_id, seq, txid, notifier, recipient, case_id, referral_id, event_id, type,
      happened_at, template, state, reason, attempt, status, test, created_at, due_at, ended_at)
    ON person_notices TO notification_web
    """,
    # a request makes a secret and never reads one
    """
    GRANT SELECT (id, seq, organisation, notifier, url, types, public_key, standing, created_at,
        created_by, ended_at, ended_why, failures, slow, last_success_at, last_cursor,
        last_failure_at, last_status, last_trouble, due_at),
      INSERT (id, organisation, notifier, url, types, secret, public_key, created_at, created_by),
      UPDATE (standing, secret, ended_at, ended_why, failures, due_at)
    ON subscriptions TO notification_web
    """,
    """
    GRANT SELECT, INSERT (notifier, organisation, subscription_id, feed_seq, state, useful_until,
        created_at),
      UPDATE (state, reason, attempt, status, useful_until, ended_at)
    ON notices TO notification_web
    """,
)


def upgrade() -> None:
    """Make the tables of notification."""
    create_kernel(op, "notification")
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
    create_reach(op, "notification")
    for table, seen in _SEEN.items():
        policy = f"CREATE POLICY {table}_see ON {table} FOR SELECT TO {_WEB} USING ({seen})"
        op.get_bind().exec_driver_sql(policy)


def downgrade() -> None:
    """Refuse: what was told to whom is never dropped by a migration."""
    message = "the first migration holds subscriptions and notices and is never undone"
    raise RuntimeError(message)
