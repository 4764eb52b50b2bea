-- Up Migration

-- One row that says how far this database's history goes. Servers advance it every few seconds and keep a copy outside the
-- database; where the copy is ahead, the database has returned to an older state.
create table restore_guard (
  id integer primary key check (id = 1),
  epoch bigint not null, -- of the operator's last decision about a restored state, in milliseconds; 0: there was none
  served_ms bigint not null, -- for how long servers have run on this history; no clock that is set changes it
  beat_at timestamptz not null,
  behind_ms bigint -- how much of the history is missing; null: nothing is known to be
) with (fillfactor = 50);
insert into restore_guard (id, epoch, served_ms, beat_at) values (1, 0, 0, clock_timestamp());

-- A client that was in a restored backup may have been removed since: it counts once the operator has confirmed it.
alter table clients add column suspended_at timestamptz;
