/**
 * oidc-provider's remaining models (grants, codes, device codes, clients) as rows of one table, under the hash of their
 * id, so that a dump holds nothing that can be presented. Using a record up is a conditional update: one caller wins.
 */
import { sha256 } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';

export interface RecordPayload {
  jti?: string;
  grantId?: string;
  accountId?: string;
  uid?: string;
  userCode?: string;
  [name: string]: unknown;
}

export interface RecordStore {
  save(model: string, id: string, payload: RecordPayload, ttlSeconds: number): Promise<void>;
  /** The payload, with `consumed` (unix seconds) where it has been used up. */
  byId(model: string, id: string): Promise<RecordPayload | undefined>;
  byUserCode(model: string, userCode: string): Promise<RecordPayload | undefined>;
  /** False where somebody else has used it up. */
  consume(model: string, id: string): Promise<boolean>;
  remove(model: string, id: string): Promise<void>;
  removeOfGrant(model: string, grantId: string, query?: Query): Promise<void>;
}

interface Row {
  payload: RecordPayload;
  consumed_at: Date | null;
}

/**
 * Two presentations this close together are one click or one retry: the second is refused by `consume`, as any other, but
 * is not taken for a theft that would end what the first has just received.
 */
const sameInstantMs = 500;

export function createRecordStore({ query }: Database, now: () => number): RecordStore {
  const fromRow = ({ payload, consumed_at }: Row): RecordPayload =>
    consumed_at && now() - consumed_at.getTime() >= sameInstantMs
      ? { ...payload, consumed: Math.floor(consumed_at.getTime() / 1000) }
      : payload;
  return {
    async save(model, id, { jti: _, ...payload }, ttlSeconds) {
      await query(
        `insert into records (model, id_hash, payload, grant_id, account_id, uid, user_code, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (model, id_hash) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
        [
          model,
          sha256(id),
          jsonb(payload),
          payload.grantId ?? null,
          payload.accountId ?? null,
          payload.uid ?? null,
          payload.userCode ?? null,
          new Date(now() + ttlSeconds * 1000),
        ],
      );
    },
    async byId(model, id) {
      const [row] = await query<Row>(
        'select payload, consumed_at from records where model = $1 and id_hash = $2 and expires_at > $3',
        [model, sha256(id), new Date(now())],
      );
      return row && { ...fromRow(row), jti: id };
    },
    async byUserCode(model, userCode) {
      const [row] = await query<Row>(
        'select payload, consumed_at from records where model = $1 and user_code = $2 and expires_at > $3',
        [model, userCode, new Date(now())],
      );
      return row && fromRow(row);
    },
    async consume(model, id) {
      const rows = await query(
        `update records set consumed_at = $3 where model = $1 and id_hash = $2 and consumed_at is null
         returning model`,
        [model, sha256(id), new Date(now())],
      );
      return rows.length === 1;
    },
    async remove(model, id) {
      await query('delete from records where model = $1 and id_hash = $2', [model, sha256(id)]);
    },
    async removeOfGrant(model, grantId, on = query) {
      await on('delete from records where model = $1 and grant_id = $2', [model, grantId]);
    },
  };
}
