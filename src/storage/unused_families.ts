/**
 * Deletes refresh families before they expire, a week after they have ended or can no longer be refreshed, and the grants that
 * nothing else needs. A failover may lose the last rotation of a family. The app then holds a token that may be used for a
 * week longer than the database knows, so the family is kept that long.
 *
 * No index says which families these are: a rotation would have to change it. So each sweep looks at the next few families.
 */
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from './database.ts';

/** At a sweep every 3 seconds, an instance looks at three million families a day. */
const lookedAt = 100;
const keptMs = lifeSeconds.refreshIdle * 1000;

/** A grant is stored under the base64url of its id's SHA-256. */
const hashOfGrant = `translate(encode(sha256(convert_to(gone.grant_id, 'UTF8')), 'base64'), '+/=', '-_')`;

/** $1: when a family must have ended or expired, $2: the last family that was looked at, $3: now. */
const unused = `with seen as materialized (
     select id, least(ended_at, token_expires_at) < $1 as is_unused from refresh_families
     where id > $2 order by id limit ${lookedAt}),
   gone as (
     delete from refresh_families where id = any(array(select id from seen where is_unused))
       and least(ended_at, token_expires_at) < $1
     returning id, grant_id, session_uid),
   grants as (
     delete from records where model = 'Grant' and id_hash = any(array(
       select ${hashOfGrant} from gone
       where not exists (select from refresh_families other
           where other.grant_id = gone.grant_id and other.id <> all(array(select id from gone)))
         and not exists (select from sessions
           where uid = gone.session_uid and ended_at is null and expires_at > $3::timestamptz - interval '1 hour')))
     returning 1)
   select (select max(id) from seen) as last, (select count(*) from gone)::int as families,
     (select count(*) from grants)::int as grants`;

interface Seen {
  last: string | null;
  families: number;
  grants: number;
}

/** Makes the function that looks at the next families. It returns how many rows it has deleted. `now`: milliseconds. */
export function createUnusedFamilies(query: Query, now: () => number): () => Promise<number> {
  let last = '';
  return async () => {
    const [seen] = await query<Seen>(unused, [new Date(now() - keptMs), last, new Date(now())]);
    last = seen?.last ?? '';
    return seen ? seen.families + seen.grants : 0;
  };
}
