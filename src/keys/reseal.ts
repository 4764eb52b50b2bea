/**
 * Seals again, under the present key-encryption key, what is still sealed under the previous one: row by row, in small
 * batches, while servers run that know both. It can be stopped and started again, and run twice at once. Called by the
 * command line.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sealer } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';

/** A column that holds sealed values, in a table whose primary key is `id`. All of these names are the code's own. */
export interface SealedColumn {
  table: string;
  /** The sealed value, and the id of the key-encryption key that sealed it. */
  column: string;
  kekColumn: string;
  /** A further column that the value's identity names. */
  kindColumn?: string;
  /** What the value is bound to. */
  identityOf(id: string, kind: string): string;
}

interface Row {
  id: string;
  kind: string;
  sealed: Buffer;
  kekId: string | null;
}

const batchRows = 100;
/** Between two batches: logins come first. */
const pauseMs = 10;

/** Returns how many rows were sealed again. Rejects, with all batches before it done, at a row that cannot be unsealed. */
export async function reseal(
  { query, transaction }: Pick<Database, 'query' | 'transaction'>,
  sealer: Sealer,
  { table, column, kekColumn, kindColumn, identityOf }: SealedColumn,
  onProgress: (rows: number) => void,
): Promise<number> {
  const pending = `${column} is not null and ${kekColumn} is distinct from $1`;

  async function sealBatch(ids: string[], on: Query): Promise<number> {
    // Locked, and looked at again: a login may have set one meanwhile, or another run may have been here.
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
