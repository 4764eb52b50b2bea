-- Up Migration

-- When PostgreSQL last confirmed a heartbeat of the instance. `beat_at` of a beat that was written but not confirmed is later.
alter table instances add column answered_at timestamptz;

-- Times in which an instance could not serve. An app may then repeat a request whose answer was lost. Rows are deleted a day
-- after their end.
create table outages (
  instance text not null,
  began_at timestamptz not null,
  ended_at timestamptz not null,
  primary key (instance, began_at)
);

-- The instance that rotated the family last.
alter table refresh_families add column used_by text;
