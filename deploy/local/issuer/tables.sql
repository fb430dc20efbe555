-- The issuer's tables, in its own schema; running it again changes nothing. What only its bearer
-- should know (links, codes, cookies, keys of forms) is kept as a mark: a keyed hash.
CREATE TABLE IF NOT EXISTS accounts (
  id text PRIMARY KEY,
  login text NOT NULL UNIQUE,
  role text NOT NULL,
  org text,
  places text[] NOT NULL DEFAULT '{}',
  member_of jsonb NOT NULL DEFAULT '[]',
  password text,
  totp bytea,
  totp_used bigint NOT NULL DEFAULT -1,
  recovery bytea[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  enrolled_at timestamptz
);
CREATE TABLE IF NOT EXISTS links (
  mark bytea PRIMARY KEY,
  account text NOT NULL REFERENCES accounts,
  totp bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE TABLE IF NOT EXISTS browsers (
  mark bytea PRIMARY KEY,
  account text NOT NULL REFERENCES accounts,
  sid text NOT NULL,
  auth_time bigint NOT NULL,
  amr text[] NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS devices (
  mark bytea PRIMARY KEY,
  account text NOT NULL REFERENCES accounts,
  expires_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS codes (
  mark bytea PRIMARY KEY,
  client_id text NOT NULL,
  account text NOT NULL REFERENCES accounts,
  redirect_uri text NOT NULL,
  scope text NOT NULL,
  nonce text NOT NULL,
  challenge text NOT NULL,
  sid text NOT NULL,
  auth_time bigint NOT NULL,
  amr text[] NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS clients (
  client_id text PRIMARY KEY,
  role text NOT NULL,
  org text NOT NULL,
  jwk jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS assertions (
  mark bytea PRIMARY KEY,
  expires_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS form_keys (
  mark bytea PRIMARY KEY,
  browser bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS guesses (
  mark bytea PRIMARY KEY,
  failures integer NOT NULL,
  next_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS signing_keys (
  kid text PRIMARY KEY,
  sealed bytea NOT NULL,
  made_at timestamptz NOT NULL
);
