"""The directory, cases as the stream tells them, referrals with their explanations, and feeds."""

from __future__ import annotations

from alembic import op

from shared.migrate import create_kernel, create_reach

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OWN = "current_setting('pashe.organisation', true)"
_THEIRS = f"({_OWN} = '*' OR provider_id = {_OWN})"
_SEEN = {
    "referrals": f"({_OWN} = '*' OR (provider_id = {_OWN} AND NOT test))"
    " AND referral_in_reach(referral_id)",
    "referral_texts": f"{_THEIRS} AND referral_in_reach(referral_id)",
    "feed_entries": f"{_THEIRS} AND referral_in_reach(referral_id)",
    "feeds": _THEIRS,
    "explanations": f"{_OWN} = '*' AND referral_in_reach(referral_id)",
    "cases": f"{_OWN} = '*' AND in_reach(facts)",
}
"""Which rows of a table a request sees: the organisation's, of cases in reach (`reach.sql`)."""

_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_web ON {table} FOR SELECT TO referral_web USING ({seen});
CREATE POLICY {table}_flow ON {table} TO referral_flow USING (true) WITH CHECK (true)
"""
_POLICIES = tuple(
    statement
    for table, seen in _SEEN.items()
    for statement in _POLICY.format(table=table, seen=seen).split(";")
)

# Runs as the owner: a provider must not see a case's facts to see its own referral of it. A case
# may exclude a kind of provider too.
_REFERRAL_IN_REACH = (
    """
    CREATE FUNCTION referral_in_reach(id uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = referral, pg_temp AS $$
      SELECT coalesce((SELECT in_reach(c.facts) AND NOT EXISTS (SELECT 1 FROM providers p
          WHERE p.provider_id = current_setting('pashe.organisation', true)
          AND c.facts -> 'excluded' ?| p.kinds)
        FROM referrals r JOIN cases c USING (case_id) WHERE r.referral_id = id), true)
    $$
    """,
    "CREATE POLICY referrals_owner ON referrals FOR SELECT TO referral_owner USING (true)",
    "REVOKE ALL ON FUNCTION referral_in_reach(uuid) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION referral_in_reach(uuid) TO referral_web",
)
_STATEMENTS = (
    """
    CREATE TABLE providers (
      provider_id text PRIMARY KEY,
      kind text NOT NULL,
      kinds text[] NOT NULL DEFAULT '{}',
      name_en text NOT NULL,
      name_bn text NOT NULL,
      note text NOT NULL DEFAULT '',
      version integer NOT NULL DEFAULT 1,
      edited boolean NOT NULL DEFAULT false
    )
    """,
    """
    CREATE TABLE offers (
      offer_id text PRIMARY KEY,
      provider_id text NOT NULL REFERENCES providers (provider_id),
      needs text[] NOT NULL,
      area_level text NOT NULL,
      area_pcode text NOT NULL,
      min_age integer,
      max_age integer,
      sex text NOT NULL DEFAULT 'any',
      hours text NOT NULL DEFAULT '',
      note text NOT NULL DEFAULT '',
      enrolment text NOT NULL DEFAULT 'listed' CHECK (enrolment IN ('listed','invited','active')),
      reach text NOT NULL DEFAULT 'none',
      mode text NOT NULL DEFAULT 'in_person',
      languages text[] NOT NULL DEFAULT '{}',
      accepting boolean NOT NULL DEFAULT true,
      serves_hijra boolean,
      accepts_children boolean,
      max_boy_age_with_mother integer,
      step_free boolean,
      sign_language boolean,
      court_order boolean NOT NULL DEFAULT false,
      schedules text[] NOT NULL DEFAULT '{}',
      latitude double precision CHECK (latitude BETWEEN -90 AND 90),
      longitude double precision CHECK (longitude BETWEEN -180 AND 180),
      trained_until date,
      accredited_until date,
      records jsonb,
      service_id uuid,
      places_total integer CHECK (places_total >= 0),
      places_free integer CHECK (places_free >= 0),
      capacity_at timestamptz,
      open_referrals integer NOT NULL DEFAULT 0,
      version integer NOT NULL DEFAULT 1,
      edited boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX offers_provider ON offers (provider_id)",
    "CREATE INDEX offers_service ON offers (service_id) WHERE service_id IS NOT NULL",
    """
    CREATE TABLE directory_objects (
      kind text NOT NULL,
      id uuid NOT NULL,
      body jsonb NOT NULL,
      PRIMARY KEY (kind, id)
    )
    """,
    """
    CREATE TABLE offer_needs (
      need text NOT NULL,
      area_pcode text NOT NULL,
      offer_id text NOT NULL REFERENCES offers (offer_id) ON DELETE CASCADE,
      PRIMARY KEY (need, area_pcode, offer_id)
    )
    """,
    "CREATE INDEX offer_needs_offer ON offer_needs (offer_id)",
    """
    CREATE TABLE cases (
      case_id uuid PRIMARY KEY,
      sequence bigint NOT NULL,
      status text NOT NULL,
      facts jsonb NOT NULL,
      withdrawn boolean NOT NULL DEFAULT false,
      changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE SEQUENCE referral_order",
    """
    CREATE TABLE referrals (
      referral_id uuid PRIMARY KEY,
      case_id uuid NOT NULL REFERENCES cases (case_id),
      need text NOT NULL,
      urgency text NOT NULL,
      state text NOT NULL,
      attempt integer NOT NULL,
      version integer NOT NULL,
      provider_id text,
      offer_id text,
      feed_seq bigint,
      answer_by timestamptz,
      acknowledged boolean NOT NULL DEFAULT false,
      test boolean NOT NULL DEFAULT false,
      body jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      seq bigint NOT NULL DEFAULT nextval('referral_order'),
      UNIQUE (case_id, need, attempt)
    )
    """,
    "CREATE INDEX referrals_order ON referrals (txid, seq)",
    "CREATE INDEX referrals_feed ON referrals (provider_id, feed_seq) WHERE NOT test",
    "CREATE INDEX referrals_changed ON referrals (provider_id, changed_at, referral_id)",
    """
    CREATE INDEX referrals_live ON referrals (state, need, urgency, answer_by)
      WHERE NOT test AND state IN ('planned', 'waiting', 'assigned', 'accepted', 'waitlisted',
        'in_service', 'on_hold')
    """,
    """
    CREATE INDEX referrals_unacknowledged ON referrals (provider_id)
      WHERE NOT test AND state IN ('withdrawn', 'entered_in_error')
        AND NOT acknowledged AND provider_id IS NOT NULL
    """,
    """
    CREATE TABLE explanations (
      referral_id uuid PRIMARY KEY REFERENCES referrals (referral_id),
      explanation jsonb NOT NULL,
      changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE INDEX explanations_changed ON explanations (changed_at, referral_id)
    """,
    """
    CREATE TABLE referral_texts (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      referral_id uuid NOT NULL REFERENCES referrals (referral_id),
      provider_id text,
      at timestamptz NOT NULL,
      actor text NOT NULL,
      verb text NOT NULL,
      reason text,
      sealed bytea NOT NULL
    )
    """,
    "CREATE INDEX referral_texts_of ON referral_texts (referral_id)",
    """
    CREATE TABLE links (
      nonce bytea PRIMARY KEY,
      referral_id uuid NOT NULL REFERENCES referrals (referral_id),
      provider_id text NOT NULL,
      made_at timestamptz NOT NULL,
      expires_at timestamptz NOT NULL,
      used_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX links_of ON links (referral_id)",
    """
    CREATE TABLE feeds (
      provider_id text PRIMARY KEY,
      seq bigint NOT NULL
    )
    """,
    """
    CREATE TABLE feed_entries (
      provider_id text NOT NULL,
      seq bigint NOT NULL,
      event_id uuid NOT NULL,
      type text NOT NULL,
      referral_id uuid NOT NULL,
      body text NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (provider_id, seq)
    )
    """,
    """
    GRANT SELECT, INSERT, UPDATE, DELETE ON providers, offers, offer_needs, cases, referrals,
      explanations, referral_texts, links, feeds, feed_entries, directory_objects TO referral_flow
    """,
    "GRANT USAGE ON SEQUENCE referral_order TO referral_flow",
    """
    GRANT SELECT ON providers, offers, offer_needs, cases, referrals, explanations, referral_texts,
      feeds, feed_entries TO referral_web
    """,
)


def upgrade() -> None:
    """Make the tables of referral."""
    create_kernel(op, "referral")
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
    create_reach(op, "referral")
    for statement in (*_REFERRAL_IN_REACH, *_POLICIES):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: referrals are never dropped by a migration."""
    message = "the first migration holds people's referrals and is never undone"
    raise RuntimeError(message)
