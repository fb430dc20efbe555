"""The log: head, entries, nodes of the tree, the bytes beside them, and what is missing."""

from __future__ import annotations

from alembic import op

from shared.migrate import create_kernel

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FOR_STAFF = "current_setting('pashe.organisation', true) = '*'"

# Deletes bytes and salts of the events of erased cases, whenever they come; the erasure itself
# stays, and so do the reads of the history. Only a `case-erased` that intake signed counts: 399 are
# the flags of services.audit.flags that vouch for nothing (UNPROVEN, OTHER_BYTES).
_ERASE = """
CREATE FUNCTION erase_events() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
DECLARE
  since bigint;
  until bigint;
  fresh text[];
  gone bigint;
  late bigint;
BEGIN
  SELECT upto INTO since FROM erasing FOR UPDATE;
  SELECT size INTO until FROM log_head;
  IF since >= until THEN
    RETURN 0;
  END IF;
  SELECT coalesce(array_agg(DISTINCT subject), '{}') INTO fresh FROM entries
  WHERE idx >= since AND idx < until AND type = 'case-erased' AND stream = 'cases'
    AND source = '/intake' AND flags & 399 = 0;
  DELETE FROM event_bytes b USING entries e
  WHERE e.subject = ANY(fresh) AND e.idx < until AND e.idx = b.idx AND e.stream <> 'accesses'
    AND NOT (e.type = 'case-erased' AND e.stream = 'cases' AND e.flags & 399 = 0);
  GET DIAGNOSTICS gone = ROW_COUNT;
  DELETE FROM event_bytes b USING entries e
  WHERE e.idx >= since AND e.idx < until AND e.idx = b.idx AND e.stream <> 'accesses'
    AND NOT (e.type = 'case-erased' AND e.stream = 'cases' AND e.flags & 399 = 0)
    AND EXISTS (SELECT 1 FROM entries x WHERE x.subject = e.subject AND x.type = 'case-erased'
      AND x.stream = 'cases' AND x.source = '/intake' AND x.flags & 399 = 0);
  GET DIAGNOSTICS late = ROW_COUNT;
  UPDATE erasing SET upto = until;
  RETURN gone + late;
END $$
"""

_STATEMENTS = (
    # One row: size and root of the tree, whose turn it is to append, the last signed checkpoint.
    """
    CREATE TABLE log_head (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      size bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
      root bytea NOT NULL,
      epoch bigint NOT NULL DEFAULT 0,
      vkey text,
      checkpoint text,
      checkpoint_size bigint,
      signed_at timestamptz
    )
    """,
    "INSERT INTO log_head (root) VALUES (sha256(''))",
    # The last cosignature of each witness: the checkpoint as the log signed it, and its line.
    """
    CREATE TABLE cosigned (
      witness text PRIMARY KEY,
      size bigint NOT NULL,
      note text NOT NULL,
      line text NOT NULL,
      at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # Who holds the lock of the sequencer and when it last gave a sign of life.
    """
    CREATE TABLE sequencer (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      pid integer NOT NULL,
      replica text NOT NULL,
      seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    # Insert-only. An entry without event_id is known by its place in Kafka. `sequence` is set only
    # for what is proven; `flags` are services.audit.domain.Flag.
    """
    CREATE TABLE entries (
      idx bigint PRIMARY KEY,
      commitment bytea NOT NULL CHECK (length(commitment) = 32),
      event_id uuid UNIQUE,
      cluster text NOT NULL,
      stream text NOT NULL,
      partition smallint NOT NULL,
      "offset" bigint NOT NULL,
      subject text,
      type text,
      source text,
      sequence bigint,
      time timestamptz,
      actor text,
      traceparent text,
      flags integer NOT NULL DEFAULT 0,
      appended_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE UNIQUE INDEX entries_place ON entries (cluster, stream, partition, "offset")
    WHERE event_id IS NULL
    """,
    "CREATE INDEX entries_subject ON entries (subject, stream, sequence) WHERE subject IS NOT NULL",
    "CREATE INDEX entries_flagged ON entries (idx) WHERE flags <> 0",
    # Insert-only. Perfect subtrees of level 1 and up; level 0 follows from the commitments.
    """
    CREATE TABLE nodes (
      level smallint NOT NULL CHECK (level > 0),
      idx bigint NOT NULL,
      hash bytea NOT NULL CHECK (length(hash) = 32),
      PRIMARY KEY (level, idx)
    )
    """,
    # What the commitments are made of. Deleting a row erases the event; the tree stays as it is.
    # Nobody but the owner can: erasure comes as a function that belongs to the owner.
    """
    CREATE TABLE event_bytes (
      idx bigint PRIMARY KEY,
      salt bytea NOT NULL CHECK (length(salt) = 32),
      value bytea,
      signature bytea,
      key bytea,
      headers bytea
    )
    """,
    """
    CREATE TABLE gaps (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      stream text NOT NULL,
      subject text NOT NULL,
      first bigint NOT NULL,
      last bigint NOT NULL CHECK (last >= first),
      filled bigint NOT NULL DEFAULT 0,
      first_seen timestamptz NOT NULL DEFAULT now(),
      closed_at timestamptz,
      UNIQUE (stream, subject, first)
    )
    """,
    "CREATE INDEX gaps_open ON gaps (subject, stream) WHERE closed_at IS NULL",
    "CREATE VIEW leaves AS SELECT idx, commitment FROM entries",
    *(
        statement
        for table in ("entries", "event_bytes", "gaps")
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_web ON {table} FOR SELECT TO audit_web USING ({_FOR_STAFF})",
            f"CREATE POLICY {table}_flow ON {table} TO audit_flow USING (true) WITH CHECK (true)",
        )
    ),
    # The view shows every commitment to everyone: that is what the published log consists of.
    "CREATE POLICY entries_owner ON entries FOR SELECT TO audit_owner USING (true)",
    "GRANT SELECT, INSERT ON entries, nodes, event_bytes TO audit_flow",
    "GRANT SELECT, INSERT, UPDATE ON gaps, sequencer, cosigned TO audit_flow",
    "GRANT SELECT, UPDATE ON log_head TO audit_flow",
    "GRANT SELECT ON log_head, cosigned, nodes, leaves, entries, event_bytes, gaps TO audit_web",
    "GRANT SELECT ON leaves TO audit_flow",
    """
    CREATE INDEX entries_erasures ON entries (subject)
    WHERE type = 'case-erased' AND stream = 'cases'
    """,
    # How far the log was looked through for erasures, and for late events of erased cases.
    """
    CREATE TABLE erasing (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      upto bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO erasing DEFAULT VALUES",
    "CREATE POLICY event_bytes_owner ON event_bytes FOR SELECT TO audit_owner USING (true)",
    "CREATE POLICY event_bytes_erase ON event_bytes FOR DELETE TO audit_owner USING (true)",
    _ERASE,
    "REVOKE ALL ON FUNCTION erase_events() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION erase_events() TO audit_flow",
)


def upgrade() -> None:
    """Make the tables of audit."""
    create_kernel(op, "audit")
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: the history is never dropped by a migration."""
    message = "the first migration holds the history and is never undone"
    raise RuntimeError(message)
