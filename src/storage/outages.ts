/**
 * Times in which an instance could not serve, because PostgreSQL confirmed none of its heartbeats, or because it was dead.
 * In such a time answers are lost although their writes were done. The app repeats its request once it can. That may be
 * later than any leeway, and it must not pass for a thief.
 *
 * In normal operation there are no outages, so nothing here makes it easier to use a stolen token.
 */
import type { Query } from './run_statement.ts';

/** A heartbeat that is not confirmed for this long is an outage. */
export const outageAfterMs = 3000;
/** An answer may be lost that was under way when the last heartbeat was confirmed. */
const underWayMs = 2000;
/** After an outage apps wait for about as long as it lasted before they ask again, but not for longer than this. */
const longestBackOffMs = 3_600_000;

/** What an instance did, and when (milliseconds since the epoch). */
export interface Deed {
  instance: string;
  at: number;
}

/**
 * Until when an app that asked for the deed may repeat its request, because an outage may have lost the answer: until the
 * end of the outage and then for as long as the outage or the leeway, whichever is longer. Undefined without an outage.
 * An outage has no end while the instance still tries to beat, and while nobody could note the outage.
 */
export async function repeatableUntil(
  query: Query,
  { instance, at }: Deed,
  { leewayMs, nowMs }: { leewayMs: number; nowMs: number },
): Promise<number | undefined> {
  const [row] = await query<{ until: Date | null }>(
    `select greatest(
       (select max(ended_at + least(greatest(ended_at - began_at, $3 * interval '1 ms'), $6 * interval '1 ms'))
          from outages
          where instance = $1 and ended_at >= $2 and began_at <= $2::timestamptz + ($3 + $5) * interval '1 ms'),
       (select $4::timestamptz + interval '1 second' from instances i
          where id = $1 and answered_at < clock_timestamp() - $7 * interval '1 ms'
            and answered_at <= $2::timestamptz + ($3 + $5) * interval '1 ms'
            and (beat_at > clock_timestamp() - 3 * $7 * interval '1 ms'
              or not exists (select from outages o where o.instance = i.id and o.began_at = i.answered_at)))) as until`,
    [instance, new Date(at), leewayMs, new Date(nowMs), underWayMs, longestBackOffMs, outageAfterMs],
  );
  return row?.until?.getTime();
}

/** Deletes the rows whose end is a day ago. Returns how many. */
export async function forgetOutages(query: Query, nowMs: number): Promise<number> {
  const rows = await query(
    `delete from outages where ended_at < $1::timestamptz - interval '1 day' returning instance`,
    [new Date(nowMs)],
  );
  return rows.length;
}
