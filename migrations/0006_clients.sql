-- Up Migration

-- Apps that are not in CLIENTS_FILE: added by command or by dynamic registration. Without their secrets.
create table clients (
  id text primary key,
  source text not null check (source in ('command', 'registration')),
  metadata jsonb not null,
  created_at timestamptz not null,
  changed_at timestamptz not null
);

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

-- Every instance keeps what it has read of a client until it is told of a change, whoever makes it.
create function tell_of_client_change() returns trigger language plpgsql as $$
declare
  changed jsonb := to_jsonb(coalesce(new, old));
begin
  perform pg_notify('cypher_clients', coalesce(changed->>'client_id', changed->>'id'));
  return null;
end $$;
create trigger clients_are_told after insert or update or delete on clients
  for each row execute function tell_of_client_change();
create trigger client_secrets_are_told after insert or update or delete on client_secrets
  for each row execute function tell_of_client_change();
