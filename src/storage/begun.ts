/**
 * Bounds the short-lived rows that anybody can create, such as sign-ins. All owners have equal shares of the room. So
 * a network that begins a hundred thousand sign-ins evicts only its own.
 */
import type { Query } from './database.ts';
import { isBegun, type Room } from './ephemeral.ts';

const batchRows = 1000;

const mayBeTooMuch = `select 1 from pg_stat_user_tables where relid = 'ephemeral'::regclass
   and (n_live_tup > $1 or pg_table_size(relid) > $2)`;

/**
 * The owners that hold too much, and how many rows to delete of each. Reads the table once. $1: the room in bytes,
 * $2: the least bytes that a row counts for.
 *
 * `kept` is what all owners would hold together if nobody held more than this owner. If that exceeds the room, the
 * largest allowed `share` is smaller than what this owner holds. The share is the room that the small owners leave,
 * divided equally among the others. A row is deleted as a whole, so all surpluses together may exceed `to_go`.
 * Therefore the largest owners lose rows first, and among equal ones the owner of the oldest row.
 */
const surpluses = `with shares as (
     select owner, count(*) as rows, sum(greatest(pg_column_size(value), $2::bigint)) as held, min(expires_at) as oldest
     from ephemeral where ${isBegun} group by owner),
   levels as (
     select held, sum(held) over smaller + held * (count(*) over () - row_number() over smaller) as kept
     from shares window smaller as (order by held rows unbounded preceding)),
   largest as (
     select ($1 - coalesce(sum(held) filter (where kept <= $1), 0)) / count(*) filter (where kept > $1) as share,
       max(kept) - $1 as to_go
     from levels having max(kept) > $1),
   larger as (
     select owner, rows, held, oldest, to_go, ceil(rows - round(rows * share / held, 6)) as surplus
     from shares, largest where held > share),
   in_order as (
     select owner, surplus, to_go, sum(surplus * held / rows) over larger_first - surplus * held / rows as gone_before
     from larger window larger_first as (order by held desc, oldest rows unbounded preceding))
   select owner, surplus::int as rows from in_order where gone_before < to_go limit ${batchRows * 10}`;

/**
 * Deletes the oldest rows of each owner in $1. $2 holds the number of rows for each owner. Rows of one kind all have
 * the same lifetime, so the row that expires first is the oldest.
 */
const oldestOfOwners = `with gone as (delete from ephemeral where key = any(array(
     select key from unnest($1::text[], $2::int[]) as surplus(owner, rows)
     cross join lateral (
       select key from ephemeral where owner = surplus.owner and ${isBegun}
       order by expires_at limit surplus.rows for update skip locked) oldest)) returning 1)
   select count(*)::int as rows from gone`;

interface Surplus {
  owner: string;
  rows: number;
}

/** The same surpluses, in batches of at most `batchRows` rows. */
function* inBatches(surpluses: Surplus[]): Generator<Surplus[]> {
  let batch: Surplus[] = [];
  let left = batchRows;
  for (const surplus of surpluses)
    for (let { owner, rows } = surplus; rows > 0; ) {
      const some = Math.min(rows, left);
      batch.push({ owner, rows: some });
      rows -= some;
      left -= some;
      if (left > 0) continue;
      yield batch;
      batch = [];
      left = batchRows;
    }
  if (batch.length > 0) yield batch;
}

/**
 * Deletes rows until those that anybody can create fit into `room`. Returns the number of deleted rows. The table is
 * read only if its statistics say that it may be too large.
 */
export async function sweepBegun(query: Query, room: Room): Promise<number> {
  if ((await query(mayBeTooMuch, [room.rows, room.bytes])).length === 0) return 0;
  const found = await query<Surplus>(surpluses, [room.bytes, Math.ceil(room.bytes / room.rows)]);
  let total = 0;
  for (const batch of inBatches(found)) {
    const values = [batch.map(({ owner }) => owner), batch.map(({ rows }) => rows)];
    const [gone] = await query<{ rows: number }>(oldestOfOwners, values);
    total += gone?.rows ?? 0;
  }
  return total;
}
