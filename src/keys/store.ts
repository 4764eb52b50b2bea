/** The SQL of the server's keys. The sealed bytes are bound to the key's id and kind, so rows cannot be swapped. */
import { randomId, type Sealer } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import type { SealedColumn } from './reseal.ts';
import type { KeyFacts } from './states.ts';

export interface StoredKey extends KeyFacts {
  kind: string;
  createdAt: number;
  bytes: Buffer;
}

interface KeyRow {
  id: string;
  kind: string;
  state: StoredKey['state'];
  sealed: Buffer | null;
  kek_id: string;
  created_at: Date;
  since: Date;
  until: Date | null;
}

/** The configured key-encryption key is not the one that sealed the keys in the database. */
export class WrongKeyEncryptionKey extends Error {
  override readonly name = 'WrongKeyEncryptionKey';
  constructor() {
    super(
      "KEY_ENCRYPTION_KEY is not the one that this database's keys were sealed with: give that one (as KEY_ENCRYPTION_KEY_PREVIOUS, if it has been replaced), or the DATA_DIR that holds it",
    );
  }
}

/** The identity that a key's sealed bytes are bound to. */
const sealedAs = (id: string, kind: string): string => `keys ${id} ${kind}`;

/** The column to seal again with a new key-encryption key. */
export const sealedKeys: SealedColumn = {
  table: 'keys',
  column: 'sealed',
  kekColumn: 'kek_id',
  kindColumn: 'kind',
  identityOf: sealedAs,
};

/**
 * All keys. Within a kind the signing one comes first, then the verifying ones from the newest on, then the next one.
 * The keys in `known` are not unsealed again. If a key cannot be unsealed, it is left out and `skip` is called with
 * the error. Without `skip` the error is thrown: WrongKeyEncryptionKey, or an Error if the row was damaged.
 */
export async function readKeys(
  query: Query,
  sealer: Pick<Sealer, 'unseal' | 'knows'>,
  known: readonly StoredKey[] = [],
  skip?: (id: string, error: Error) => void,
): Promise<StoredKey[]> {
  const bytesOf = new Map(known.map(({ id, bytes }) => [id, bytes]));
  const rows = await query<KeyRow>(
    `select id, kind, case when next then 'next' else state end as state, kek_id, created_at,
       coalesce(since, created_at) as since, until, case when id = any($1) then null else sealed end as sealed
     from keys order by kind, next, state, created_at desc, id`,
    [[...bytesOf.keys()]],
  );
  return rows.flatMap(({ id, kind, state, sealed, kek_id, created_at, since, until }) => {
    try {
      const bytes = bytesOf.get(id) ?? unseal(sealer, { id, kind, sealed, kekId: kek_id });
      const times = { createdAt: created_at.getTime(), since: since.getTime(), until: until?.getTime() };
      return [{ id, kind, state, bytes, ...times }];
    } catch (error) {
      if (!skip) throw error;
      skip(id, error as Error);
      return [];
    }
  });
}

function unseal(
  sealer: Pick<Sealer, 'unseal' | 'knows'>,
  { id, kind, sealed, kekId }: { id: string; kind: string; sealed: Buffer | null; kekId: string },
): Buffer {
  if (!sealer.knows(kekId)) throw new WrongKeyEncryptionKey();
  return sealer.unseal(sealed ?? Buffer.alloc(0), sealedAs(id, kind), kekId);
}

/**
 * Runs `work` in a transaction that holds the lock on the keys. No other instance or command changes keys meanwhile.
 */
export const whileLocked = <T>(database: Database, work: (query: Query) => Promise<T>): Promise<T> =>
  database.transaction(async (query) => {
    await lockKeys(query);
    return work(query);
  });

async function lockKeys(query: Query): Promise<void> {
  await query("select pg_advisory_xact_lock(hashtext('cypher keys'))");
}

/**
 * Erases all keys of these kinds and lets new ones sign at once, in the transaction of `query`. Everything that was
 * made with the old ones becomes invalid. `fresh`: the new key of each kind.
 */
export async function replaceKeys(
  query: Query,
  sealer: Pick<Sealer, 'seal' | 'kekId'>,
  fresh: ReadonlyMap<string, Uint8Array>,
  now: number,
): Promise<void> {
  await lockKeys(query);
  await query('delete from keys where kind = any($1)', [[...fresh.keys()]]);
  for (const [kind, bytes] of fresh) await insertKey(query, sealer, { kind, state: 'signing', bytes, now });
}

/** Stores a new key; returns its id. */
export async function insertKey(
  query: Query,
  sealer: Pick<Sealer, 'seal' | 'kekId'>,
  { kind, state, bytes, now }: { kind: string; state: 'signing' | 'next'; bytes: Uint8Array; now: number },
): Promise<string> {
  const id = randomId();
  await query(
    `insert into keys (id, kind, state, next, sealed, kek_id, created_at, since) values ($1, $2, $3, $4, $5, $6, $7, $7)`,
    [
      id,
      kind,
      state === 'next' ? 'verifying' : state,
      state === 'next',
      sealer.seal(bytes, sealedAs(id, kind)),
      sealer.kekId,
      new Date(now),
    ],
  );
  return id;
}

/** Changes the state of a key. `until` is for a verifying key: when the last of what it made has expired. */
export async function moveKey(
  query: Query,
  id: string,
  { state, now, until }: { state: 'signing' | 'verifying'; now: number; until?: number },
): Promise<void> {
  await query('update keys set state = $2, next = false, since = $3, until = $4 where id = $1', [
    id,
    state,
    new Date(now),
    until === undefined ? null : new Date(until),
  ]);
}

/** Keeps a verifying key until `until`. Then it is checked again whether it is in use. */
export async function keepKey(query: Query, id: string, until: number): Promise<void> {
  await query('update keys set until = $2 where id = $1', [id, new Date(until)]);
}

/** Deletes a key. What was made with it cannot be opened again. */
export async function eraseKey(query: Query, id: string): Promise<void> {
  await query('delete from keys where id = $1', [id]);
}
