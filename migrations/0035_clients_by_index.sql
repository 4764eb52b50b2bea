-- Up Migration

-- What a name of an app looks like (clients/names.ts), for the operator's apps: a stranger's may not look the same.
alter table clients add column name_key text;
update clients set name_key = replace(replace(translate(
    regexp_replace(lower(coalesce(metadata->>'client_name', id)), '[^a-z0-9]', '', 'g'), '0134l5', 'oieais'), 'rn', 'm'), 'vv', 'w')
  where source = 'command';

-- Ten thousand apps that registered themselves: no request reads them all.
create index on clients (name_key) where source = 'command';
create index on clients (id) where source = 'command' and metadata ? 'initiate_login_uri';
create index on clients (id) where source = 'registration';
