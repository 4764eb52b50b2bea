/**
 * oidc-provider's remaining models (grants, codes, device codes) as rows of one table, under the hash of their
 * id, so that a dump holds nothing that can be presented. Using a record up is a conditional update: one caller wins.
 */
import { sha256 } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import type { Statement } from '../storage/statement.ts';

export interface RecordPayload {
  jti?: string;
  grantId?: string;
  accountId?: string;
  uid?: string;
  userCode?: string;
  [name: string]: unknown;
}

/** What an account has granted to an app. */
export interface ListedGrant {
  /** The hash of its id. */
  idHash: string;
  clientId: string;
  scopes: string[];
  /** Milliseconds since the epoch. */
  createdAt: number;
}

export interface RecordStore {
  save(model: string, id: string, payload: RecordPayload, ttlSeconds: number): Promise<void>;
  /** The statement that saves, for whoever writes it together with others. */
  saving(model: string, id: string, payload: RecordPayload, ttlSeconds: number): Statement;
  /** The payload, with `consumed` (unix seconds) where it has been used up. */
  byId(model: string, id: string): Promise<RecordPayload | undefined>;
  byUserCode(model: string, userCode: string): Promise<RecordPayload | undefined>;
  /** False where somebody else has used it up. */
  consume(model: string, id: string): Promise<boolean>;
  remove(model: string, id: string): Promise<void>;
  /** The live grants of an account. */
  grantsOf(accountId: string): Promise<ListedGrant[]>;
  removeOfGrant(model: string, grantId: string, query?: Query): Promise<void>;
}

/** oidc-provider's Grant, as far as a person is shown of it. */
interface GrantPayload {
  clientId: string;
  iat: number;
  openid?: { scope?: string };
  resources?: Record<string, string>;
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
  const saving: RecordStore['saving'] = (model, id, { jti: _, ...payload }, ttlSeconds) => ({
    text: `insert into records (model, id_hash, payload, grant_id, account_id, uid, user_code, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict (model, id_hash) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
    values: [
      model,
      sha256(id),
      jsonb(payload),
      payload.grantId ?? null,
      payload.accountId ?? null,
      payload.uid ?? null,
      payload.userCode ?? null,
      new Date(now() + ttlSeconds * 1000),
    ],
  });
  return {
    saving,
    async save(...record) {
      const { text, values } = saving(...record);
      await query(text, values);
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
    async grantsOf(accountId) {
      const rows = await query<{ id_hash: string; payload: GrantPayload }>(
        "select id_hash, payload from records where model = 'Grant' and account_id = $1 and expires_at > $2",
        [accountId, new Date(now())],
      );
      return rows.map(({ id_hash: idHash, payload: { clientId, iat, openid, resources } }) => ({
        idHash,
        clientId,
        scopes: [openid?.scope ?? '', ...Object.values(resources ?? {})].join(' ').split(' ').filter(Boolean),
        createdAt: iat * 1000,
      }));
    },
    async removeOfGrant(model, grantId, on = query) {
      await on('delete from records where model = $1 and grant_id = $2', [model, grantId]);
    },
  };
}
