-- Up Migration

-- The recovery codes of an account that have not been used, in one row. To use one is one conditional UPDATE of that row.
create table unused_recovery_codes (
  account_id text primary key references accounts on delete cascade,
  code_hashes bytea[] not null -- keyed, so that a dump cannot be searched
);

-- The release before keeps a row for each code. What its instances write from now on is taken over at once. The next migration
-- takes over what they had written before. Changes are computed from the row as it is then, not from what this statement sees of
-- the old table: of two codes that are used at once, neither comes back.
create function take_over_added_recovery_codes() returns trigger language plpgsql as $$
begin
  insert into unused_recovery_codes as kept (account_id, code_hashes)
  select account_id, array_agg(code_hash) from changed where used_at is null group by account_id
  on conflict (account_id) do update set code_hashes = kept.code_hashes
    || array(select code from unnest(excluded.code_hashes) code where code <> all (kept.code_hashes));
  return null;
end $$;
create function take_over_used_recovery_codes() returns trigger language plpgsql as $$
begin
  insert into unused_recovery_codes as kept (account_id, code_hashes)
  select account_id, array(select r.code_hash from recovery_codes r where r.account_id = c.account_id and r.used_at is null)
  from (select distinct account_id from changed) c
  on conflict (account_id) do update set code_hashes = array(select code from unnest(kept.code_hashes) code
    where code not in (select code_hash from changed where changed.account_id = kept.account_id));
  return null;
end $$;
create trigger take_over_added after insert on recovery_codes referencing new table as changed
  for each statement when (pg_trigger_depth() = 0) execute function take_over_added_recovery_codes();
create trigger take_over_used after update on recovery_codes referencing new table as changed
  for each statement when (pg_trigger_depth() = 0) execute function take_over_used_recovery_codes();
create trigger take_over_deleted after delete on recovery_codes referencing old table as changed
  for each statement when (pg_trigger_depth() = 0) execute function take_over_used_recovery_codes();

-- Takes over the codes of so many accounts. Returns the last of them, or null if there are no more.
create function take_over_recovery_codes(after text) returns text language plpgsql as $$
declare
  furthest text;
begin
  select max(id) into furthest from (select id from accounts where id > after order by id limit 1000) as following;
  insert into unused_recovery_codes (account_id, code_hashes)
  select account_id, array_agg(code_hash) from recovery_codes
  where account_id > after and account_id <= furthest and used_at is null group by account_id
  on conflict do nothing;
  return furthest;
end $$;
