-- Up Migration

-- The audit log stays append-only, but for rows that have outlived their retention: those may be deleted, and only those. No setting
-- reaches younger rows, and neither an update nor a truncate passes at all.
create function refuse_deletion_of_young_audit() returns trigger language plpgsql as
$$ begin
  if old.at < now() - interval '30 days' then return old; end if;
  raise exception 'the audit log is append-only: this row is not 30 days old';
end $$;

drop trigger audit_log_is_append_only on audit_log;
create trigger audit_log_is_append_only before update or truncate on audit_log
  for each statement execute function refuse_audit_change();
create trigger audit_log_keeps_the_young before delete on audit_log
  for each row execute function refuse_deletion_of_young_audit();
