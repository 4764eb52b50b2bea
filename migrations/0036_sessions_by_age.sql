-- Up Migration

-- An account's sessions are shown page by page, the newest first. In place of the index by account alone, so that a sign-in
-- writes no more than before; when a session began does not change, and updates of it stay in their page.
create index sessions_of_account on sessions (account_id, created_at desc) where account_id is not null;
drop index sessions_account_id_idx;
