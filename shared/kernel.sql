-- The tables that every service has. Statements are divided by two empty lines.
CREATE TABLE outbox_heads (
  stream text NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  PRIMARY KEY (stream, subject)
)


CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT now(),
  topic text NOT NULL,
  partition smallint NOT NULL,
  key bytea NOT NULL,
  event_id uuid NOT NULL,
  type text NOT NULL,
  sequence bigint NOT NULL,
  needs text NOT NULL DEFAULT '',
  traceparent text,
  value bytea NOT NULL,
  signature bytea NOT NULL,
  sent_at timestamptz,
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at)


CREATE TABLE outbox_rest PARTITION OF outbox DEFAULT


CREATE INDEX outbox_unsent ON outbox (topic, partition, id) WHERE sent_at IS NULL


CREATE INDEX outbox_event ON outbox (event_id)


CREATE TABLE relays (
  topic text NOT NULL,
  partition smallint NOT NULL,
  pid integer NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (topic, partition)
)


CREATE TABLE inbox (
  consumer text NOT NULL,
  event_id uuid NOT NULL,
  happened_on date NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id, happened_on)
) PARTITION BY RANGE (happened_on)


CREATE TABLE inbox_rest PARTITION OF inbox DEFAULT


CREATE TABLE inbox_heads (
  consumer text NOT NULL,
  stream text NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  PRIMARY KEY (consumer, stream, subject)
)


CREATE TABLE attempts (
  consumer text NOT NULL,
  topic text NOT NULL,
  partition smallint NOT NULL,
  "offset" bigint NOT NULL,
  deaths integer NOT NULL DEFAULT 1,
  PRIMARY KEY (consumer, topic, partition, "offset")
)


CREATE TABLE parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  consumer text NOT NULL,
  topic text NOT NULL,
  partition smallint NOT NULL,
  "offset" bigint NOT NULL,
  key bytea,
  value bytea,
  headers jsonb NOT NULL DEFAULT '[]',
  reason text NOT NULL,
  detail text NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting','replay','void','dismissed','done')),
  parked_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  dismissed_by text,
  UNIQUE (consumer, topic, partition, "offset")
)


CREATE INDEX parked_key ON parked (consumer, key) WHERE state IN ('waiting', 'replay')


CREATE TABLE timers (
  id uuid PRIMARY KEY,
  kind text NOT NULL,
  subject text NOT NULL,
  due_at timestamptz NOT NULL,
  payload jsonb NOT NULL DEFAULT '{}',
  attempt integer NOT NULL DEFAULT 0,
  set_at timestamptz,
  UNIQUE (kind, subject)
)


CREATE INDEX timers_due ON timers (due_at)


CREATE INDEX timers_set ON timers (set_at) WHERE set_at IS NOT NULL


CREATE TABLE erased_cases (
  case_id text PRIMARY KEY,
  erased_at timestamptz NOT NULL DEFAULT now()
)


CREATE TABLE idempotency (
  scope text NOT NULL,
  key_hash bytea NOT NULL,
  body_hash bytea NOT NULL,
  answer bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key_hash)
)


CREATE INDEX idempotency_age ON idempotency (created_at)


CREATE FUNCTION keep_partitions(outbox_days integer, inbox_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  parent text;
  days integer;
  d date;
  child text;
  unsent boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('{schema}.keep_partitions'));
  FOREACH parent IN ARRAY ARRAY['outbox', 'inbox'] LOOP
    FOR i IN 0..2 LOOP
      d := current_date + i;
      child := format('%s_%s', parent, to_char(d, 'YYYYMMDD'));
      IF to_regclass(child) IS NULL THEN
        BEGIN
          EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            child, parent, d, d + 1);
        EXCEPTION WHEN check_violation THEN
          -- rows of that day already lie in the default partition: they stay there
          RAISE LOG 'partition % is not made', child;
        END;
      END IF;
    END LOOP;
    days := CASE parent WHEN 'outbox' THEN outbox_days ELSE inbox_days END;
    FOR child IN SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        WHERE h.inhparent = to_regclass(parent) AND c.relname ~ '_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - days LOOP
      unsent := false;
      IF parent = 'outbox' THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE sent_at IS NULL)', child) INTO unsent;
      END IF;
      IF NOT unsent THEN
        EXECUTE format('DROP TABLE %I', child);
      END IF;
    END LOOP;
  END LOOP;
END $$


-- Each statement in here sees what was committed while the one before it waited: the lock keeps
-- replay out (exclusively held there), the inbox waits for another process with the same events.
CREATE FUNCTION begin_batch(c text, ids uuid[], days date[], subjects text[], keys bytea[],
  OUT fresh uuid[], OUT heads text[], OUT sequences bigint[], OUT blocked bytea[])
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(c, 7));
  IF cardinality(ids) = 0 THEN
    RETURN;
  END IF;
  WITH new AS (
    INSERT INTO inbox (consumer, event_id, happened_on)
    SELECT c, id, day FROM unnest(ids, days) AS t (id, day) ORDER BY id
    ON CONFLICT DO NOTHING RETURNING event_id
  ) SELECT array_agg(event_id) INTO fresh FROM new;
  SELECT array_agg(ARRAY[stream, subject]), array_agg(sequence) INTO heads, sequences
    FROM inbox_heads WHERE consumer = c AND subject = ANY (subjects);
  SELECT array_agg(DISTINCT key) INTO blocked
    FROM parked WHERE consumer = c AND key = ANY (keys) AND state IN ('waiting', 'replay');
END $$


SELECT keep_partitions(107, 114)


GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_heads, outbox, relays, inbox, inbox_heads, attempts,
  parked, timers, erased_cases, idempotency TO {schema}_flow


-- A request tells of a read and keeps its answer; it never reads what waits or was sent.
GRANT SELECT, INSERT, UPDATE ON outbox_heads TO {schema}_web


GRANT INSERT ON outbox TO {schema}_web


GRANT SELECT, INSERT ON idempotency TO {schema}_web


GRANT SELECT ON alembic_version TO {schema}_flow, {schema}_web


GRANT EXECUTE ON FUNCTION keep_partitions(integer, integer) TO {schema}_flow
