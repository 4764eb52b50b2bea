-- Up Migration

-- Wrong guesses at what is secret for all: counted where whoever can write to Redis cannot take the count back. A crash
-- of PostgreSQL forgets them, which nobody outside can cause.
create unlogged table guesses (
  bucket text primary key,
  guesses integer not null,
  expires_at timestamptz not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index on guesses (expires_at);
