-- Up Migration

-- The server's secrets, each sealed under the key-encryption key that `kek_id` names. A key is published before it signs: until
-- then `next` is true and `state` is verifying.
create table keys (
  id text primary key,
  kind text not null,
  state text not null check (state in ('signing', 'verifying')),
  next boolean not null default false,
  since timestamptz, -- since when it has been in its state; null: since it was made
  until timestamptz, -- of a verifying key: when the last token or cookie that it made has expired
  sealed bytea not null,
  kek_id text not null,
  created_at timestamptz not null
);
