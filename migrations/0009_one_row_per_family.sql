-- Up Migration

-- A refresh family is one row. A rotation changes the last five of these columns and no index: PostgreSQL keeps the new
-- version of the row on the same page, and logs what lies between the first and the last changed byte.
alter table refresh_families
  add column payload jsonb, -- of its tokens, without what a column says or a rotation changes; null while the family has not begun
  add column generation integer, -- 0 for the first token
  add column token_hash text, -- of the id of the one token that can be used
  add column issued_at timestamptz, -- of that token
  add column token_expires_at timestamptz,
  add column used_at timestamptz; -- of the token before it
alter table refresh_families set (fillfactor = 70);

-- The release before keeps a row for each token. Its families are taken over.
update refresh_families f set
  payload = (t.payload - '{iat,exp,rotations,grantId,clientId,accountId,sessionUid,expiresWithSession}'::text[])
    || jsonb_build_object('gty', regexp_replace(t.payload->>'gty', ' refresh_token$', '')),
  generation = coalesce((t.payload->>'rotations')::int, 0),
  token_hash = t.token_hash,
  issued_at = to_timestamp((t.payload->>'iat')::bigint),
  token_expires_at = t.expires_at,
  used_at = case when t.refreshed_from is not null then t.created_at end
from refresh_tokens t
where t.family_id = f.id and t.used_at is null;

-- Where that release has served somebody, its instances may still run beside this one's: what either of them writes, the other
-- one finds. The next release drops the old table with its rows and triggers. A new installation begins without them.
do $$
begin
  if not exists (select from accounts) then
    drop table refresh_tokens;
    return;
  end if;

  create function take_over_refresh_token() returns trigger language plpgsql as $body$
  begin
    update refresh_families set
      payload = (new.payload - '{iat,exp,rotations,grantId,clientId,accountId,sessionUid,expiresWithSession}'::text[])
        || jsonb_build_object('gty', regexp_replace(new.payload->>'gty', ' refresh_token$', '')),
      generation = coalesce((new.payload->>'rotations')::int, 0),
      token_hash = new.token_hash,
      issued_at = to_timestamp((new.payload->>'iat')::bigint),
      token_expires_at = new.expires_at,
      used_at = case when new.refreshed_from is not null then new.created_at end
    where id = new.family_id;
    return null;
  end $body$;
  create trigger take_over_refresh_token after insert on refresh_tokens
    for each row when (pg_trigger_depth() = 0) execute function take_over_refresh_token();

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
