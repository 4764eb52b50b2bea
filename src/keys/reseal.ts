/**
 * Seals values again that are still sealed with the previous key-encryption key. It works in small batches, while
 * servers that know both keys are running. It can be interrupted and repeated, also concurrently.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sealer } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';

/**
 * A column of sealed values, in a table with the primary key `id`. The names are put into SQL unescaped, so they must
 * be constants of the code.
 */
export interface SealedColumn {
  table: string;
  /** The column with the sealed value. */
  column: string;
  /** The column with the id of the key-encryption key that sealed it. */
  kekColumn: string;
  /** A column that is part of the value's identity, if there is one. */
  kindColumn?: string;
  /** The identity that the value is bound to. */
  identityOf(id: string, kind: string): string;
}

interface Row {
  id: string;
  kind: string;
  sealed: Buffer;
  kekId: string | null;
}

const batchRows = 100;
/** The pause between two batches, so that sign-ins are not delayed. */
const pauseMs = 10;

/**
 * Returns how many rows were sealed again. Rejects at a row that cannot be unsealed; the earlier batches stay done.
 * `onProgress` receives the number of rows so far, after each batch.
 */
export async function reseal(
  { query, transaction }: Pick<Database, 'query' | 'transaction'>,
  sealer: Sealer,
  { table, column, kekColumn, kindColumn, identityOf }: SealedColumn,
  onProgress: (rows: number) => void,
): Promise<number> {
  const pending = `${column} is not null and ${kekColumn} is distinct from $1`;

  async function sealBatch(ids: string[], on: Query): Promise<number> {
    // Read again under a lock: a sign-in may have changed the value meanwhile, or another run may have sealed it.
    const rows = await on<Row>(
      `select id, ${kindColumn ?? "''"} as kind, ${column} as sealed, ${kekColumn} as "kekId" from ${table}
       where id = any($2) and ${pending} order by id for update`,
      [sealer.kekId, ids],
    );
    const sealed = rows.map((row) => {
      const identity = identityOf(row.id, row.kind);
      try {
        return sealer.seal(sealer.unseal(row.sealed, identity, row.kekId ?? undefined), identity);
      } catch (cause) {
        throw new Error(`${table} ${row.id} cannot be unsealed: it is sealed under ${row.kekId}`, { cause });
      }
    });
    await on(
      `update ${table} set ${column} = n.sealed, ${kekColumn} = $1
       from unnest($2::text[], $3::bytea[]) as n (id, sealed) where ${table}.id = n.id`,
      [sealer.kekId, rows.map(({ id }) => id), sealed],
    );
    return rows.length;
  }

  let done = 0;
  for (let after = ''; ; ) {
    const batch = await query<{ id: string }>(
      `select id from ${table} where id > $2 and ${pending} order by id limit ${batchRows}`,
      [sealer.kekId, after],
    );
    const ids = batch.map(({ id }) => id);
    const last = ids.at(-1);
    if (last === undefined) return done;
    done += await transaction((on) => sealBatch(ids, on));
    onProgress(done);
    after = last;
    await sleep(pauseMs);
  }
}
