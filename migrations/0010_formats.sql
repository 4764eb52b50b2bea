-- Up Migration

-- The format of a row's payload (src/lib/formats.ts). A release reads no row of a format that it does not know: the person
-- or the app begins that step again. Releases before this column know format 1 alone.
alter table sessions add column format smallint not null default 1;
alter table records add column format smallint not null default 1;
