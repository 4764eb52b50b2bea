/**
 * Read-ahead for the token endpoint. oidc-provider reads a code or refresh token, then its session, grant and
 * account, in separate queries. Here one statement reads them all with the first. The others are kept for this
 * request, and each is handed over once. What was not read ahead is read in the usual way.
 *
 * A value that has become stale does no harm. A code is deleted with its account, and a refresh family ends with the
 * grant, session or account that it depends on. Using a code and rotating a token are statements that check this.
 *
 * With it, a refresh takes 8 % less CPU in the server and 29 % less in PostgreSQL (measured in turns, with and without).
 * To delete it, use `database.query` for `readAhead` in wiring/provider.ts.
 */
import type { Account } from '../../accounts/accounts.ts';
import { readableRow } from '../../lib/formats.ts';
import type { Query } from '../../storage/database.ts';
import { withQueries } from '../../storage/statement.ts';
import { type RecordPayload, wholePayload } from './record_store.ts';
import { currentScope } from './request_scope.ts';

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

/** Hands over what this request has read ahead. Undefined if it read nothing, or if it was handed over before. */
export function takeKept<Name extends keyof Kept>(name: Name, id: string): Kept[Name] | undefined {
  const mine = currentScope()?.kept;
  const key = `${name}:${id}`;
  const value = mine?.get(key) as Kept[Name] | undefined;
  mine?.delete(key);
  return value;
}

/**
 * Makes a query function that reads ahead. It takes statements that return `grant_id`, `account_id` and
 * `session_uid`. `now`: milliseconds since the epoch.
 */
export function createReadAhead(query: Query, now: () => number): Query {
  return async <Found extends object>(text: string, values: readonly unknown[] = []) => {
    const statement = withQueries(
      { found: { text, values } },
      {
        // A grant is stored under the base64url of its id's SHA-256. The joins are lateral and limited: for a plain
        // join, PostgreSQL would keep a plan from when the database had few rows, and that plan reads all grants and
        // sessions.
        text: `select found.*, g.payload as kept_grant, s.payload as kept_session, a.username, a.email, a.signed_out_at
          from found
          left join lateral (select ${wholePayload} from records where model = 'Grant' and expires_at > $1 and ${readableRow('record')} and id_hash =
            translate(encode(sha256(convert_to(found.grant_id, 'UTF8')), 'base64'), '+/=', '-_') limit 1) g on true
          left join lateral (select payload from sessions
            where uid = found.session_uid and ended_at is null and expires_at > $1 and ${readableRow('session')} limit 1) s on true
          left join lateral (select username, email, signed_out_at from accounts
            where id = found.account_id and disabled_at is null limit 1) a on true`,
        values: [new Date(now())],
      },
    );
    const rows = await query<Found & Row>(statement.text, statement.values);
    const scope = currentScope();
    if (scope) scope.kept = new Map(rows.flatMap(keptOf));
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
