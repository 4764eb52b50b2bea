-- Up Migration

-- Names that are kept for somebody who has been sent a link; at most one link for each is good.
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
