-- Up Migration

-- Who has used a record. The previous release keeps that in the payload, so a use writes the whole row again. In a
-- column of its own it costs about 100 bytes of write-ahead log.
alter table records add column used_by text;
-- Until when an unused record is valid, if it is stored for longer than that.
alter table records add column valid_until timestamptz;
