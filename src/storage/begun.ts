/**
 * Which of the rows that strangers may begin are too many. All owners have equal shares of the room, so one network that begins a
 * hundred thousand sign-ins evicts none of anybody else's.
 */
import type { Query } from './database.ts';
import { isBegun, type Room } from './ephemeral.ts';

const batchRows = 1000;

const mayBeTooMuch = `select 1 from pg_stat_user_tables where relid = 'ephemeral'::regclass
   and (n_live_tup > $1 or pg_table_size(relid) > $2)`;

/**
 * How many rows are too many of which owners, by one look at each row. $1: the room, $2: what the smallest row takes of it.
 * `kept`: what all would hold together if nobody held more than this one. Where that is more than the room, the largest
 * share lies below: the room that the small ones leave, in equal parts. Nobody keeps part of a row, so all surpluses together
 * may be more than is to go: the largest owners are taken first, and of equal ones those that began first.
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

/** The oldest rows of each owner of $1: as many as stand in $2. All that is begun lives as long as others of its kind. */
const oldestOfOwners = `with gone as (delete from ephemeral where ctid = any(array(
     select row from unnest($1::text[], $2::int[]) as surplus(owner, rows)
     cross join lateral (
       select ctid as row from ephemeral where owner = surplus.owner and ${isBegun}
       order by expires_at limit surplus.rows for update skip locked) oldest)) returning 1)
   select count(*)::int as rows from gone`;

interface Surplus {
  owner: string;
  rows: number;
}

/** The same rows, in parts of at most `batchRows`. */
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

/** Deletes what is begun past its room. Returns how many rows. Looks closely only if the table may hold so much. */
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
