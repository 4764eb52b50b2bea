-- Up Migration

-- How many days old an event of the audit log must be before it may be deleted; 0: none may be. No row means 30 days. The trigger
-- below reads it, so it holds for every statement of the application. A longer time is in force at once. A shorter one comes into
-- force only after as many days as the longer one has (400 after 0), so that it reaches no event that was there when it was written.
create table audit_retention (
  only_row boolean primary key default true check (only_row),
  days int not null check (days = 0 or days between 30 and 36500),
  -- What comes into force next, and when.
  next_days int check (next_days = 0 or next_days between 30 and 36500),
  next_at timestamptz,
  check ((next_days is null) = (next_at is null))
);

create function audit_retention_days() returns int language sql stable as
$$ select coalesce((select case when next_at <= now() then next_days else days end from audit_retention), 30) $$;

-- An update writes to `days` what is wanted.
create function delay_shorter_audit_retention() returns trigger language plpgsql as
$$ declare
  wanted int := new.days;
  in_force int := audit_retention_days();
begin
  new.days := in_force;
  new.next_days := null;
  new.next_at := null;
  if wanted = 0 or (in_force <> 0 and wanted >= in_force) then
    new.days := wanted;
  else
    new.next_days := wanted;
    -- Wanted once more, it is not delayed once more.
    new.next_at := case when old.next_days = wanted then old.next_at
      else now() + case when in_force = 0 then 400 else in_force end * interval '1 day' end;
  end if;
  return new;
end $$;
create trigger audit_retention_is_shortened_late before update on audit_retention
  for each row execute function delay_shorter_audit_retention();

create function refuse_audit_retention_change() returns trigger language plpgsql as
$$ begin raise exception 'the retention of the audit log cannot be deleted'; end $$;
create trigger audit_retention_stays before delete or truncate on audit_retention
  for each statement execute function refuse_audit_retention_change();

create or replace function refuse_deletion_of_young_audit() returns trigger language plpgsql as
$$ declare
  days int := audit_retention_days();
begin
  if days = 0 then raise exception 'the audit log is append-only: every row is kept'; end if;
  if old.at < now() - days * interval '1 day' then return old; end if;
  raise exception 'the audit log is append-only: this row is not % days old', days;
end $$;
