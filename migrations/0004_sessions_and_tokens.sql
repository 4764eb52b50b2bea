-- Up Migration

create table sessions (
  id_hash text primary key,
  uid text not null unique,
  account_id text,
  payload jsonb not null,
  address text,
  user_agent text,
  device text,
  created_at timestamptz not null,
  last_seen_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz -- kept until it would have expired, so that a request in flight cannot revive it
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
-- The account page lists sessions from the newest. created_at does not change, so updates need no new index entry.
create index sessions_of_account on sessions (account_id, created_at desc) where account_id is not null;
create index on sessions (expires_at);

-- A refresh family is every token that was refreshed from one first token.
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
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on refresh_families (grant_id);
create index on refresh_families (account_id);
create index on refresh_families (session_uid) where session_uid is not null;
create index on refresh_families (expires_at);

create table refresh_tokens (
  token_hash text primary key,
  family_id text not null references refresh_families on delete cascade,
  refreshed_from text,
  payload jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on refresh_tokens (family_id);

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
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on records (grant_id) where grant_id is not null;
create index on records (account_id) where account_id is not null;
create unique index on records (model, user_code) where user_code is not null;
create index on records (expires_at);

-- What stateless access tokens are checked against: jti:…, family:…, grant:….
create table revocations (
  subject text primary key,
  expires_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
create index on revocations (expires_at);

-- Short-lived state of sign-ins and other flows in progress.
create unlogged table ephemeral (
  key text primary key,
  value text not null,
  expires_at timestamptz not null,
  -- The widest network of the client's address that began it, or '' where no stranger may begin it. Where there are too many
  -- rows, the oldest of the owner with the most are deleted.
  owner text collate "C" not null default ''
) with (autovacuum_vacuum_scale_factor = 0.05);
create index on ephemeral (expires_at);
create index on ephemeral (owner, expires_at);
