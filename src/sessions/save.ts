/**
 * Saves a session. Concurrent requests of one session each save everything that they have read. So a save merges what
 * they add, and never undoes a later sign-in or the end of the session.
 */
import { sha256 } from '../lib/crypto.ts';
import type { Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import { type Statement, unnamed, withQueries } from '../storage/statement.ts';
import type { SaveOutcome, SeenFrom, SessionPayload } from './session.ts';

const loginOf = (row: 's' | 'excluded') => `coalesce((${row}.payload->>'loginTs')::bigint, 0)`;
const isOlder = `${loginOf('s')} > ${loginOf('excluded')}`;
const sameAccount = 's.account_id is not distinct from excluded.account_id';

/**
 * The merged payload. It keeps the apps that either request has authorized, so that a sign-out reaches all of them.
 * From a request that began before the stored sign-in, it takes only the apps.
 */
const mergedPayload = `case when ${isOlder} then s.payload else excluded.payload end || case when ${sameAccount}
    and (s.payload ? 'authorizations' or excluded.payload ? 'authorizations')
  then jsonb_build_object('authorizations', coalesce(s.payload->'authorizations', '{}')
    || coalesce(excluded.payload->'authorizations', '{}'))
  else '{}' end`;

/** Writes nothing if nothing has changed and the session was seen within the last minute. */
const upsert = `insert into sessions as s (id_hash, uid, account_id, payload, address, user_agent, device, created_at,
    last_seen_at, expires_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
  on conflict (uid) do update set
    id_hash = case when ${isOlder} then s.id_hash else excluded.id_hash end,
    account_id = excluded.account_id, payload = ${mergedPayload},
    address = excluded.address, user_agent = excluded.user_agent, device = excluded.device,
    last_seen_at = excluded.last_seen_at,
    expires_at = case when ${isOlder} then s.expires_at else excluded.expires_at end
  where s.ended_at is null and (${sameAccount} or not ${isOlder})
    and (s.id_hash <> excluded.id_hash or s.payload - 'exp' <> (${mergedPayload}) - 'exp'
    or s.last_seen_at <= excluded.last_seen_at - interval '1 minute')`;

/** Locks the row. So the save waits for a concurrent end or sign-in, and sees it. */
const standing = 'select account_id, payload, ended_at from sessions where uid = $1 for no key update';

const outcomeOf = `select case
    when ended_at is not null then 'refused'
    when coalesce((payload->>'loginTs')::bigint, 0) <= $1 then 'saved'
    when account_id is not distinct from $2 then 'older' else 'refused' end as outcome
  from standing`;

export interface SessionSave {
  payload: SessionPayload;
  ttlSeconds: number;
  from: SeenFrom;
  /** Other statements for the same commit. */
  also?: readonly Statement[];
}

/** Saves the session in one statement. `nowMs`: milliseconds since the epoch. */
export async function saveSession(query: Query, save: SessionSave, nowMs: number): Promise<SaveOutcome> {
  const { jti, kind: _, ...payload } = save.payload;
  const { from, also = [] } = save;
  const accountId = payload.accountId ?? null;
  const saving: Statement = {
    text: upsert,
    values: [
      ...[sha256(jti), payload.uid, accountId, jsonb(payload)],
      ...[from.address ?? null, from.userAgent?.slice(0, 300) ?? null, from.device?.slice(0, 64) ?? null],
      ...[new Date(nowMs), new Date(nowMs + save.ttlSeconds * 1000)],
    ],
  };
  const { text, values } = withQueries(
    { standing: { text: standing, values: [payload.uid] }, ...unnamed([saving, ...also]) },
    { text: outcomeOf, values: [payload.loginTs ?? 0, accountId] },
  );
  const [was] = await query<{ outcome: SaveOutcome }>(text, values);
  return was?.outcome ?? 'saved';
}
