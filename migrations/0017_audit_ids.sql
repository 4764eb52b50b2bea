-- Up Migration

-- The audit log will be partitioned by month (0019). The ids of a month are a range: 2026120000000001 is the first of December
-- 2026. So the time that an event was written follows from its id, and the id alone stays the key.
create function audit_ids_from(month timestamptz) returns bigint language sql immutable as
$$ select to_char(month at time zone 'UTC', 'YYYYMM')::bigint * 10000000000 $$;

-- All ids so far are smaller. Checked in the next migration, without a lock that others wait for.
alter table audit_log add constraint audit_log_before_months check (id < 1000000000000000) not valid;
