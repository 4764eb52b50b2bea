-- Up Migration

-- A key is published before it signs. `state` then says verifying, which is what a version before this one makes of it.
alter table keys
  add column next boolean not null default false,
  add column since timestamptz, -- since when it is in its state; null: since it was made
  add column until timestamptz; -- of a verifying key: when the last of what it made has expired

-- Which OPAQUE key a record was made with, and which key-encryption key seals a TOTP secret. What is there, and what a
-- version before this one still adds, was made with the only ones that it knows.
do $$
declare
  opaque_key text := (select id from keys where kind = 'opaque' order by state, created_at desc limit 1);
  kek text := (select kek_id from keys limit 1);
begin
  if opaque_key is null then
    alter table accounts add column opaque_key_id text not null, add column totp_kek_id text;
  else
    -- Constants as defaults, so that no row is rewritten.
    execute format(
      'alter table accounts add column opaque_key_id text not null default %L, add column totp_kek_id text default %L',
      opaque_key, kek);
  end if;
end $$;
