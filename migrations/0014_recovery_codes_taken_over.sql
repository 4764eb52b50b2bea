-- Up Migration

-- Apart from the migration before: this may take long, and it locks only the rows that it writes, until its end. Where the release before has served somebody, its
-- instances may still run beside this one's: what either of them writes, the other one finds. The next release drops the old table
-- with its triggers. A new installation begins without them.
do $$
begin
  if not exists (select from accounts) then
    drop table recovery_codes;
    drop function take_over_added_recovery_codes, take_over_used_recovery_codes;
    return;
  end if;

  insert into unused_recovery_codes (account_id, code_hashes)
  select account_id, array_agg(code_hash) from recovery_codes where used_at is null group by account_id
  on conflict do nothing;

  create function hand_back_recovery_codes() returns trigger language plpgsql as $body$
  begin
    delete from recovery_codes where account_id = new.account_id and code_hash <> all (new.code_hashes);
    insert into recovery_codes (account_id, code_hash) select new.account_id, unnest(new.code_hashes)
    on conflict (account_id, code_hash) do update set used_at = null;
    return null;
  end $body$;
  create trigger hand_back after insert or update on unused_recovery_codes
    for each row when (pg_trigger_depth() = 0) execute function hand_back_recovery_codes();
end $$;
