-- Up Migration

-- What there is becomes the first partition. The constraint of 0017 spares it a scan.
drop trigger audit_log_is_append_only on audit_log;
drop trigger audit_log_keeps_the_young on audit_log;
alter table audit_log alter column id drop identity;
alter table audit_log rename to audit_log_before_months;
alter table audit_log_before_months rename constraint audit_log_pkey to audit_log_before_months_pkey;

create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  event text not null,
  account_id text,
  client_id text,
  address text,
  detail jsonb
) partition by range (id);
alter table audit_log attach partition audit_log_before_months for values from (0) to (1000000000000000);
alter table audit_log_before_months drop constraint audit_log_before_months;

create trigger audit_log_is_append_only before update or truncate on audit_log
  for each statement execute function refuse_audit_change();
create trigger audit_log_keeps_the_young before delete on audit_log
  for each row execute function refuse_deletion_of_young_audit();

-- Makes the partition of a month, unless it is there. A trigger of statements on the table does not see statements that name a
-- partition, so each partition has its own.
create function open_audit_month(month timestamptz) returns void language plpgsql as
$$ declare
  name text := 'audit_log_' || to_char(month at time zone 'UTC', 'YYYY_MM');
  is_there boolean := to_regclass(quote_ident(current_schema()) || '.' || name) is not null;
begin
  if is_there then return; end if;
  -- Made by itself and then attached: that lets others write meanwhile.
  execute format('create table %I (like audit_log including all excluding identity)', name);
  execute format('alter table audit_log attach partition %I for values from (%s) to (%s)', name,
    audit_ids_from(month), audit_ids_from(month + interval '1 month'));
end $$;

-- For the user who runs the servers, who may not make tables: it runs as the owner of the tables. It makes the partitions of this
-- month and the next, and goes on to the ids of this month. Call it once an hour or so. If nobody does, events get the
-- ids of the last month that was begun.
create function begin_audit_month() returns void language plpgsql security definer as
$$ declare
  sequence text := pg_get_serial_sequence('audit_log', 'id');
  last bigint := pg_sequence_last_value(sequence::regclass);
  partition text;
begin
  -- One at a time. The lock of a table that is waited for would let all others wait.
  perform pg_advisory_xact_lock(7241865325823965);
  perform set_config('lock_timeout', '500ms', true);
  perform open_audit_month(now());
  perform open_audit_month(now() + interval '1 month');
  for partition in
    select inhrelid::regclass::text from pg_inherits where inhparent = 'audit_log'::regclass
      and not exists (select from pg_trigger where tgrelid = inhrelid and tgname = 'audit_log_is_append_only')
  loop
    execute format('create trigger audit_log_is_append_only before update or truncate on %s
      for each statement execute function refuse_audit_change()', partition);
  end loop;
  if coalesce(last, 0) < audit_ids_from(now()) then perform setval(sequence, audit_ids_from(now())); end if;
end $$;

-- Drops the partitions whose months were over at `before`, the oldest first, if none of their events is younger than that or within
-- the retention. Returns how many events each had. It runs as the owner of the tables.
create function drop_audit_months(before timestamptz) returns table (month text, events bigint)
  language plpgsql security definer as
$$ declare
  days int := audit_retention_days();
  edge timestamptz := least(before, now() - days * interval '1 day');
  partition regclass;
  youngest timestamptz;
begin
  if days = 0 then return; end if;
  perform pg_advisory_xact_lock(7241865325823965);
  perform set_config('lock_timeout', '500ms', true);
  for partition, month in
    select c.oid::regclass, c.relname::text from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = 'audit_log'::regclass
      -- By the bound, before any event is read.
      and substring(pg_get_expr(c.relpartbound, c.oid) from $re$ TO \('(\d+)'\)$re$)::bigint <= audit_ids_from(edge)
    order by c.relname = 'audit_log_before_months' desc, c.relname
  loop
    execute format('select count(*), max(at) from %s', partition) into events, youngest;
    continue when youngest >= edge;
    execute format('drop table %s', partition);
    return next;
  end loop;
end $$;

-- Every function that guards the log reads our tables, and no temporary ones of the same names, which are looked for first by default.
do $$ declare
  guard regprocedure;
begin
  for guard in
    select oid from pg_proc where pronamespace = current_schema()::regnamespace and proname in ('audit_retention_days',
      'delay_shorter_audit_retention', 'refuse_deletion_of_young_audit', 'begin_audit_month', 'open_audit_month', 'drop_audit_months')
  loop
    execute format('alter function %s set search_path = %I, pg_temp', guard, current_schema());
  end loop;
end $$;

select begin_audit_month();
