-- Up Migration

-- No index by account: no request reads events by account, and every sign-in writes two of them.
create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  event text not null,
  account_id text,
  client_id text,
  address text,
  detail jsonb
);

-- How many days old an event must be before it may be deleted; 0: none may be. No row means 30 days. The trigger on the log
-- reads it, so it holds for every statement of the application. A longer time is in force at once. A shorter one comes into
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

-- An update writes the wanted number to `days`. A shorter one is moved to `next_days`.
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
    -- Asking for the same number again does not delay it again.
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

-- The log is append-only, except that rows that have outlived the retention may be deleted. Updates and truncation never pass.
create function refuse_audit_change() returns trigger language plpgsql as
$$ begin raise exception 'the audit log is append-only'; end $$;
create trigger audit_log_is_append_only before update or truncate on audit_log
  for each statement execute function refuse_audit_change();

create function refuse_deletion_of_young_audit() returns trigger language plpgsql as
$$ declare
  days int := audit_retention_days();
begin
  if days = 0 then raise exception 'the audit log is append-only: every row is kept'; end if;
  if old.at < now() - days * interval '1 day' then return old; end if;
  raise exception 'the audit log is append-only: this row is not % days old', days;
end $$;
create trigger audit_log_keeps_the_young before delete on audit_log
  for each row execute function refuse_deletion_of_young_audit();
