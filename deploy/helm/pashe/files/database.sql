-- Roles and schemas, made by a superuser inside the database; running it again changes nothing.
--
-- Each service has a schema of its own name and three roles. `<service>_owner` owns the schema and
-- runs the migrations; `<service>_flow` is for the committer, consumers, relay and timers;
-- `<service>_web` is for HTTP requests and sees rows by row-level security. The last two own
-- nothing and bypass nothing. Rights on tables are given by the migrations, passwords by whoever
-- runs this.
DO $$
DECLARE
  service text;
  suffix text;
  role text;
BEGIN
  -- Roles belong to the whole server: two databases may be made at the same time.
  PERFORM pg_advisory_xact_lock(hashtext('pashe.roles'));
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  FOREACH service IN ARRAY ARRAY['intake', 'referral', 'notification', 'audit'] LOOP
    FOREACH suffix IN ARRAY ARRAY['owner', 'flow', 'web'] LOOP
      role := service || '_' || suffix;
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
          'NOBYPASSRLS NOINHERIT', role);
      END IF;
      EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
      EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I',
        role, current_database(), service);
    END LOOP;
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, service || '_owner');
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I, %I',
      service, service || '_flow', service || '_web');
  END LOOP;
  -- The small issuer of the embedded stack has a schema of its own, and one role that owns it.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'accounts') THEN
    CREATE ROLE accounts LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
      NOINHERIT;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO accounts', current_database());
  EXECUTE format('ALTER ROLE accounts IN DATABASE %I SET search_path = accounts',
    current_database());
  CREATE SCHEMA IF NOT EXISTS accounts AUTHORIZATION accounts;
END $$;
