-- Up Migration

-- The instances that run on this database. Each updates its row every second. The row shows that the instance can write,
-- and with which version and files it works. No indexed column changes, so an update needs no new index entry.
create table instances (
  id text primary key,
  version text not null,
  clients_file_hash text not null,
  resources_file_hash text not null,
  forward_auth_file_hash text, -- null: forward-auth is off
  started_at timestamptz not null,
  beat_at timestamptz not null -- rows are deleted a day after their last beat
) with (fillfactor = 50);
