-- Up Migration

-- One row that says how far this database's history goes. Servers advance it every few seconds and keep a copy outside the
-- database. If the copy is ahead, the database has returned to an older state.
create table restore_guard (
  id integer primary key check (id = 1),
  epoch bigint not null, -- when the operator last decided about a restored state, in milliseconds; 0: never
  served_ms bigint not null, -- how long servers have run on this history; setting a clock does not change it
  beat_at timestamptz not null,
  behind_ms bigint -- how much of the history is missing; null: nothing is known to be missing
) with (fillfactor = 50);
insert into restore_guard (id, epoch, served_ms, beat_at) values (1, 0, 0, clock_timestamp());
