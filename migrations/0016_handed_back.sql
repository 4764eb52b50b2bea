-- Up Migration

-- Everything is taken over. From here on, what this release writes is handed back to the release before, whose instances may still
-- run. A new installation has none: it begins without the old table.
drop function take_over_refresh_families, take_over_recovery_codes;
do $$
begin
  if not exists (select from accounts) then
    drop table recovery_codes;
    drop function take_over_added_recovery_codes, take_over_used_recovery_codes;
    return;
  end if;

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

do $$
begin
  if to_regclass('refresh_tokens') is null then
    return;
  end if;

  create function hand_back_refresh_token() returns trigger language plpgsql as $body$
  declare
    previous text := case when tg_op = 'UPDATE' then old.token_hash end;
    gty text := new.payload->>'gty' || case when new.generation > 0 then ' refresh_token' else '' end;
    varying jsonb := jsonb_build_object('gty', gty,
      'iat', extract(epoch from new.issued_at)::bigint, 'exp', extract(epoch from new.token_expires_at)::bigint);
    of_family jsonb := jsonb_strip_nulls(jsonb_build_object('grantId', new.grant_id, 'clientId', new.client_id,
      'accountId', new.account_id, 'sessionUid', new.session_uid,
      'expiresWithSession', case when not new.offline then true end));
  begin
    if new.generation > 0 then
      varying := varying || jsonb_build_object('rotations', new.generation);
    end if;
    update refresh_tokens set used_at = new.used_at where token_hash = previous and used_at is null;
    insert into refresh_tokens (token_hash, family_id, refreshed_from, payload, created_at, expires_at)
    values (new.token_hash, new.id, previous, of_family || new.payload || varying, coalesce(new.used_at, new.created_at), new.token_expires_at)
    on conflict do nothing;
    return null;
  end $body$;
  create trigger hand_back_begun_token after insert on refresh_families
    for each row when (pg_trigger_depth() = 0 and new.token_hash is not null) execute function hand_back_refresh_token();
  create trigger hand_back_rotated_token after update of token_hash on refresh_families
    for each row when (pg_trigger_depth() = 0) execute function hand_back_refresh_token();
end $$;
