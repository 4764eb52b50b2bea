-- Up Migration
alter table audit_log validate constraint audit_log_before_months;
