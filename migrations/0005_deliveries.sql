-- Up Migration

-- Messages to apps: that a session of theirs has ended, or that an approval was given. Each row is one message to one app. It is
-- sent again until the app has answered or the attempts are used up; `answer` is the outcome of the last attempt.
create table deliveries (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('logout', 'ping')),
  client_id text not null,
  account_id text not null,
  session_uid text, -- of a logout: which session
  sid text, -- of a logout: what this app knows the session by
  sealed bytea, -- of a ping: what is sent, under the key-encryption key
  state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up', 'no_address')),
  attempts integer not null default 0,
  answer text,
  next_attempt_at timestamptz not null,
  created_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on deliveries (next_attempt_at) where state = 'waiting';
create index on deliveries (session_uid) where session_uid is not null;
create index on deliveries (expires_at);

-- However a session ends, and whichever statement ends it: its apps are notified in the same transaction.
create function notify_apps_of_ended_session() returns trigger language plpgsql as
$$ begin
  insert into deliveries (kind, client_id, account_id, session_uid, sid, next_attempt_at, created_at, expires_at)
    select 'logout', app.key, new.account_id, new.uid, app.value->>'sid', new.ended_at, new.ended_at,
      new.ended_at + interval '1 day'
    from jsonb_each(coalesce(new.payload->'authorizations', '{}')) as app
    where app.value ? 'sid';
  return null;
end $$;
create trigger ended_sessions_are_notified after update of ended_at on sessions
  for each row when (old.ended_at is null and new.ended_at is not null and new.account_id is not null)
  execute function notify_apps_of_ended_session();
