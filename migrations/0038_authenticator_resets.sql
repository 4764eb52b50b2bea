-- Up Migration

-- Links for people who have lost their authenticator; at most one for each account is good.
create table authenticator_resets (
  account_id text primary key references accounts on delete cascade,
  token_hash text not null unique,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on authenticator_resets (expires_at);
