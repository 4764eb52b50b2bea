-- Up Migration

-- Secrets of the server, each sealed under the key-encryption key that `kek_id` names.
create table keys (
  id text primary key,
  kind text not null,
  state text not null check (state in ('signing', 'verifying')),
  sealed bytea not null,
  kek_id text not null,
  created_at timestamptz not null
);

create table accounts (
  id text primary key,
  username text not null,
  username_key text not null unique, -- NFKC and case-folded: one account whatever the spelling
  email text,
  credential_id text not null, -- OPAQUE's credential identifier; random, so that a renamed user keeps it
  opaque_record bytea not null,
  opaque_suite text not null,
  opaque_stretching jsonb not null,
  totp_secret bytea, -- sealed; null until the first code has confirmed it
  totp_last_step integer, -- the last 30-second step that was used; no step up to it is taken again
  disabled_at timestamptz,
  signed_out_at timestamptz, -- no login up to then counts, one that still waits for its redirect included
  created_at timestamptz not null
);

create table recovery_codes (
  account_id text not null references accounts on delete cascade,
  code_hash bytea not null, -- keyed, so that a dump cannot be searched
  used_at timestamptz,
  primary key (account_id, code_hash)
);

-- Failed proofs by bucket: a keyed hash of the user name, so that unknown names count alike.
create table login_failures (
  bucket bytea primary key,
  failures integer not null,
  blocked_until timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 70);

-- What may be used once and has been: login-step tokens, KE2 states.
create table spent (
  id text primary key,
  expires_at timestamptz not null
);

-- What stateless access tokens are checked against: jti:…, family:…, grant:….
create table revocations (
  subject text primary key,
  expires_at timestamptz not null
);

create table sessions (
  id_hash text primary key,
  uid text not null unique,
  account_id text,
  payload jsonb not null,
  version integer not null default 1, -- a copy in the cache is good only for this version
  address text,
  user_agent text,
  device text,
  created_at timestamptz not null,
  last_seen_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz -- kept until it would have expired, so that a request in flight cannot revive it
) with (fillfactor = 80);
create index on sessions (account_id) where account_id is not null;

-- oidc-provider's models that are neither sessions, refresh tokens nor stateless.
create table records (
  model text not null,
  id_hash text not null,
  payload jsonb not null,
  grant_id text,
  account_id text,
  uid text,
  user_code text,
  consumed_at timestamptz,
  expires_at timestamptz not null,
  primary key (model, id_hash)
) with (fillfactor = 80);
create index on records (grant_id) where grant_id is not null;
create index on records (account_id) where account_id is not null;
create unique index on records (model, user_code) where user_code is not null;

-- A refresh family is all that was refreshed from one first token.
create table refresh_families (
  id text primary key,
  grant_id text not null,
  client_id text not null,
  account_id text not null,
  session_uid text,
  offline boolean not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_because text
) with (fillfactor = 80);
create index on refresh_families (grant_id);
create index on refresh_families (account_id);
create index on refresh_families (session_uid) where session_uid is not null;

create table refresh_tokens (
  token_hash text primary key,
  family_id text not null references refresh_families on delete cascade,
  refreshed_from text,
  payload jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
) with (fillfactor = 80);
create index on refresh_tokens (family_id);

-- What the sweeper looks for.
create index on spent (expires_at);
create index on revocations (expires_at);
create index on login_failures (expires_at);
create index on records (expires_at);
create index on sessions (expires_at);
create index on refresh_families (expires_at);

create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  event text not null,
  account_id text,
  client_id text,
  address text,
  detail jsonb
);
create index on audit_log (account_id, at);

create function refuse_audit_change() returns trigger language plpgsql as
$$ begin raise exception 'the audit log is append-only'; end $$;
create trigger audit_log_is_append_only before update or delete or truncate on audit_log
  for each statement execute function refuse_audit_change();

create unlogged table ephemeral (
  key text primary key,
  value text not null,
  expires_at timestamptz not null
);
create index on ephemeral (expires_at);

-- What comes and goes: its space is used again after every twentieth row that has gone, not every fifth.
alter table spent set (autovacuum_vacuum_scale_factor = 0.05);
alter table revocations set (autovacuum_vacuum_scale_factor = 0.05);
alter table login_failures set (autovacuum_vacuum_scale_factor = 0.05);
alter table records set (autovacuum_vacuum_scale_factor = 0.05);
alter table sessions set (autovacuum_vacuum_scale_factor = 0.05);
alter table refresh_families set (autovacuum_vacuum_scale_factor = 0.05);
alter table refresh_tokens set (autovacuum_vacuum_scale_factor = 0.05);
alter table ephemeral set (autovacuum_vacuum_scale_factor = 0.05);
