-- Up Migration

-- Apps that are not in CLIENTS_FILE: added by command or by dynamic registration. Without their secrets.
create table clients (
  id text primary key,
  source text not null check (source in ('command', 'registration')),
  metadata jsonb not null,
  name_key text, -- of the operator's apps: how the name looks. The name of a self-registered app may not look the same.
  created_at timestamptz not null,
  changed_at timestamptz not null,
  suspended_at timestamptz -- was in a restored backup and may have been removed since: not served until the operator confirms it
);
-- There may be many thousand self-registered apps: no request reads them all.
create index on clients (name_key) where source = 'command';
create index on clients (id) where source = 'command' and metadata ? 'initiate_login_uri';
create index on clients (id) where source = 'registration';

-- Secrets of clients. Several may be valid at once, so that one is replaced without an interruption.
create table client_secrets (
  id text primary key,
  client_id text not null references clients on delete cascade,
  hash bytea, -- keyed
  sealed bytea, -- where the method needs the secret itself, sealed under the key-encryption key that kek_id names
  kek_id text,
  created_at timestamptz not null,
  expires_at timestamptz, -- null: until it is replaced
  check ((hash is null) <> (sealed is null) and (sealed is null) = (kek_id is null))
);
create index on client_secrets (client_id);

-- Every instance caches the clients that it has read. Any change notifies them all.
create function notify_of_client_change() returns trigger language plpgsql as $$
declare
  changed jsonb := to_jsonb(coalesce(new, old));
begin
  perform pg_notify('cypher_clients', coalesce(changed->>'client_id', changed->>'id'));
  return null;
end $$;
create trigger client_changes_are_notified after insert or update or delete on clients
  for each row execute function notify_of_client_change();
create trigger client_secret_changes_are_notified after insert or update or delete on client_secrets
  for each row execute function notify_of_client_change();

-- What people have allowed apps, until they withdraw it. It outlives their sessions. One row for what the provider itself
-- discloses (audience '') and one for each API.
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
