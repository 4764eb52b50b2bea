-- Up Migration

-- Nothing here looks for events by account; whoever does, once in a while, reads the log. Two events are written with each
-- login, and the index was as much to write as they were.
drop index audit_log_account_id_at_idx;
