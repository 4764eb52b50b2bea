-- Up Migration

create table accounts (
  id text primary key,
  username text not null,
  username_key text not null unique, -- NFKC and case-folded: one account whatever the spelling
  email text,
  credential_id text not null, -- OPAQUE's credential identifier; random, and a new one with every password
  opaque_record bytea not null,
  opaque_suite text not null,
  opaque_stretching jsonb not null,
  opaque_key_id text not null, -- the OPAQUE key that the record was made with
  totp_secret bytea, -- sealed; null until the first code has confirmed it
  totp_kek_id text, -- the key-encryption key that seals it
  totp_last_step integer, -- the last 30-second step that was used; no step up to it is accepted again
  disabled_at timestamptz,
  signed_out_at timestamptz, -- no sign-in that began before it counts, not even one that still waits for its redirect
  created_at timestamptz not null
);

create table recovery_codes (
  account_id text not null references accounts on delete cascade,
  code_hash bytea not null, -- keyed, so that a dump cannot be searched
  used_at timestamptz,
  primary key (account_id, code_hash)
);

-- User names that are reserved for people who have been sent a link. At most one link is valid for each name.
create table invitations (
  username_key text primary key,
  username text not null,
  email text,
  token_hash text not null unique,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on invitations (expires_at);

-- Links for people who have lost their authenticator. At most one link is valid for each account.
create table authenticator_resets (
  account_id text primary key references accounts on delete cascade,
  token_hash text not null unique,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on authenticator_resets (expires_at);

-- Failed sign-ins by bucket: a keyed hash of the user name, so that unknown names are counted too.
create table login_failures (
  bucket bytea primary key,
  failures integer not null,
  blocked_until timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index on login_failures (expires_at);

-- Wrong guesses at secrets that anybody may try, such as user codes. They are counted here and not in Redis, so that somebody
-- who can write to Redis cannot lower the count. A crash of PostgreSQL empties the table, but nobody outside can cause one.
create unlogged table guesses (
  bucket text primary key,
  guesses integer not null,
  expires_at timestamptz not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on guesses (expires_at);

-- Single-use values that have been used: step tokens, KE2 states.
create table spent (
  id text primary key,
  expires_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
create index on spent (expires_at);
