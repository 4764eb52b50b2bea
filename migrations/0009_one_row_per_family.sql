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

-- The release before keeps a row for each token. A later migration takes its families over, so many at a time. Returns the last of
-- them, or null if there are no more.
create function take_over_refresh_families(after text) returns text language plpgsql as $body$
declare
  furthest text;
begin
  if to_regclass('refresh_tokens') is null then
    return null;
  end if;
  select max(id) into furthest from (select id from refresh_families where id > after order by id limit 1000) as following;
  update refresh_families f set
    payload = (t.payload - '{iat,exp,rotations,grantId,clientId,accountId,sessionUid,expiresWithSession}'::text[])
      || jsonb_build_object('gty', regexp_replace(t.payload->>'gty', ' refresh_token$', '')),
    generation = coalesce((t.payload->>'rotations')::int, 0),
    token_hash = t.token_hash,
    issued_at = to_timestamp((t.payload->>'iat')::bigint),
    token_expires_at = t.expires_at,
    used_at = case when t.refreshed_from is not null then t.created_at end
  from refresh_tokens t
  -- What that release has written since then was taken over at once.
  where f.id > after and f.id <= furthest and f.token_hash is null and t.family_id = f.id and t.used_at is null;
  return furthest;
end $body$;

-- Where that release has served somebody, its instances may still run beside this one's, and what they write is taken over at once.
-- The next release drops the old table with its rows and triggers. A new installation begins without them.
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
end $$;
