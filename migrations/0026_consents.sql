-- Up Migration

-- What people have allowed apps, until they withdraw it. A session ends and another follows; this stays. One row for what the
-- provider itself tells (audience '') and one for each API.
create table consents (
  account_id text not null references accounts on delete cascade,
  client_id text not null,
  audience text not null,
  scopes text[] not null,
  claims text[] not null,
  given_at timestamptz not null,
  primary key (account_id, client_id, audience)
) with (fillfactor = 80);
create index on consents (client_id);
