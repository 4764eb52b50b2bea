-- Up Migration

-- On whose behalf short-lived state is kept: the widest network of a client's address, or nobody's in particular. Where there is too
-- much, the oldest of whoever holds the most goes. A build that knows no owners writes none.
alter table ephemeral add column owner text collate "C" not null default '';
create index on ephemeral (owner, expires_at);
