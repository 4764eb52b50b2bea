/**
 * What oidc-provider asks for one after the other at the token endpoint (a code or refresh token, its session, its grant, its
 * account), read by one statement with the first of them. The others are kept for this request and handed over once; what
 * is not here is read as ever. Nothing that ends them is overlooked for it: codes go with their account, families end with
 * whatever they hang on, and using a code up and rotating a token are conditional on that.
 */
import Provider from 'oidc-provider';
import type { Account } from '../accounts/accounts.ts';
import { requestMemory } from '../lib/request_memory.ts';
import type { Query } from '../storage/database.ts';
import { withQueries } from '../storage/statement.ts';
import type { RecordPayload } from './record_store.ts';

/** An account as far as tokens need it. */
export type Holder = Pick<Account, 'id' | 'username' | 'email' | 'signedOutAt'>;

interface Kept {
  Grant: RecordPayload;
  Session: { accountId?: string };
  Account: Holder;
}

interface Row {
  grant_id: string;
  account_id: string;
  session_uid: string | null;
  kept_grant: RecordPayload | null;
  kept_session: Kept['Session'] | null;
  username: string | null;
  email: string | null;
  signed_out_at: Date | null;
}

const kept = requestMemory<Map<string, unknown>>('read ahead');

/** Hands over what was read ahead in this request; undefined where that is nothing, or was handed over before. */
export function takeKept<Name extends keyof Kept>(name: Name, id: string): Kept[Name] | undefined {
  const mine = Provider.ctx && kept.get(Provider.ctx);
  const key = `${name}:${id}`;
  const value = mine?.get(key) as Kept[Name] | undefined;
  mine?.delete(key);
  return value;
}

/**
 * A query that reads ahead: for statements that return `grant_id`, `account_id` and `session_uid` of what they find.
 * `now`: milliseconds since the epoch.
 */
export function createReadAhead(query: Query, now: () => number): Query {
  return async <Found extends object>(text: string, values: readonly unknown[] = []) => {
    const statement = withQueries(
      { found: { text, values } },
      {
        // A grant is stored under the base64url of its id's SHA-256.
        text: `select found.*, g.payload as kept_grant, s.payload as kept_session, a.username, a.email, a.signed_out_at
          from found
          left join records g on g.model = 'Grant' and g.expires_at > $1 and g.id_hash =
            translate(encode(sha256(convert_to(found.grant_id, 'UTF8')), 'base64'), '+/=', '-_')
          left join sessions s on s.uid = found.session_uid and s.ended_at is null and s.expires_at > $1
          left join accounts a on a.id = found.account_id and a.disabled_at is null`,
        values: [new Date(now())],
      },
    );
    const rows = await query<Found & Row>(statement.text, statement.values);
    if (Provider.ctx) kept.set(Provider.ctx, new Map(rows.flatMap(keptOf)));
    return rows;
  };
}

function keptOf(row: Row): [string, unknown][] {
  const { username, email, signed_out_at } = row;
  const holder = username !== null && {
    id: row.account_id,
    username,
    email: email ?? undefined,
    signedOutAt: signed_out_at?.getTime(),
  };
  return [
    ...(row.kept_grant ? [[`Grant:${row.grant_id}`, row.kept_grant] as [string, unknown]] : []),
    ...(row.kept_session ? [[`Session:${row.session_uid}`, row.kept_session] as [string, unknown]] : []),
    ...(holder ? [[`Account:${row.account_id}`, holder] as [string, unknown]] : []),
  ];
}
